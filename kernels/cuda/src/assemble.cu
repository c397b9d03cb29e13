// Turns the cores of a batch of tiles of scores into labels and probability bytes,
// written into slabs; equal to kernels/reference.py bit for bit where the scores are
// probabilities. float16 and bfloat16 are widened to float32 exactly.
//
// Each score of a core is read once and each voxel written once. A tile of 96 with
// margin 12 and 13 channels in float16: 9.7 MB read and 0.75 MB written, 3.2 us at
// 3.3 TB/s.
#include "exact.cuh"

enum { PROBABILITIES, SOFTMAX, SIGMOID };  // what the scores are: the last two are logits
enum { RUN = 4 };                          // voxels of a thread, in x

struct f32 {
    typedef float item;
    static __device__ inline float widen(item a) { return a; }
};

struct f16 {
    typedef u16 item;
    static __device__ inline float widen(item a)
    {
        // Integer steps as in c/assemble.c: nothing depends on how denormals are treated.
        const u32 magnitude = a & 0x7fff;
        if (magnitude < 0x400) {
            const float value = (float)magnitude * 0x1p-24f;
            return a & 0x8000 ? -value : value;
        }
        u32 bits = (magnitude << 13) + (112u << 23);
        if (magnitude >= 0x7c00)
            bits = magnitude << 13 | 0x7f800000;
        return __uint_as_float(bits | (a & 0x8000u) << 16);
    }
};

struct bf16 {
    typedef u16 item;
    static __device__ inline float widen(item a) { return __uint_as_float((u32)a << 16); }
};

template <typename T>
struct alignas(RUN * sizeof(T)) run {
    T at[RUN];
};

// RUN scores from `from`; only `count` of them exist. `whole`: read as one word.
template <typename K>
__device__ inline void take(const typename K::item *from, int count, bool whole, float *p)
{
    if (whole) {
        const run<typename K::item> r = *(const run<typename K::item> *)from;
#pragma unroll
        for (int i = 0; i < RUN; i++)
            p[i] = K::widen(r.at[i]);
    } else {
#pragma unroll
        for (int i = 0; i < RUN; i++)
            p[i] = i < count ? K::widen(from[i]) : 0.0f;
    }
}

struct choice {
    float best, background, peak, sum;  // peak and sum: of the softmax
    int label;
};

// One more channel of logits: the softmax's maximum and sum, rescaled as they grow.
__device__ inline void weigh(choice &c, float logit)
{
    if (!(logit > -__uint_as_float(0x7f800000)))  // no weight; NaN neither
        return;
    if (logit > c.peak) {
        c.sum = c.sum * expf(c.peak - logit) + 1.0f;
        c.peak = logit;
    } else {
        c.sum += expf(logit - c.peak);
    }
}

template <typename K>
__device__ void assemble(const typename K::item *scores, int channels, int edge,
                         const int *places, u8 *labels, u8 *probability, int height,
                         int width, float t_seg, int joint, int background, int activation)
{
    const float infinity = __uint_as_float(0x7f800000);
    const int deepest = places[9];  // planes of the deepest core, after the first tile
    const int tile = blockIdx.z / deepest, z = blockIdx.z % deepest;
    const int *place = places + 10 * tile;  // source, target, size: z, y, x each
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * RUN;
    if (z >= place[6] || y >= place[7] || x >= place[8])
        return;
    const i64 channel = (i64)edge * edge * edge;
    const typename K::item *from = scores + tile * channels * channel
        + ((i64)(place[0] + z) * edge + place[1] + y) * edge + place[2] + x;
    const int count = min(RUN, place[8] - x);
    const bool whole = count == RUN && edge % RUN == 0
        && (u64)from % (RUN * sizeof(typename K::item)) == 0;
    const bool by_background = joint && background;
    const bool probabilities = activation == PROBABILITIES;
    choice c[RUN];
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        // With logits the threshold waits for the sum, or the sigmoid.
        c[i].best = by_background || !probabilities ? -infinity : t_seg;
        c[i].background = 0.0f;
        c[i].peak = -infinity;
        c[i].sum = 0.0f;
        c[i].label = 0;
    }
    for (int k = 0; k < channels; k++) {
        float p[RUN];
        take<K>(from + k * channel, count, whole, p);
#pragma unroll
        for (int i = 0; i < RUN; i++) {
            if (activation == SOFTMAX)
                weigh(c[i], p[i]);
            if (k < background)
                c[i].background = p[i];
            else if (above(p[i], c[i].best)) {  // false for NaN; the first of equals stays
                c[i].best = p[i];
                c[i].label = k + 1 - background;
            }
        }
    }
    u8 *label_row = labels + ((i64)(place[3] + z) * height + place[4] + y) * width
        + place[5] + x;
    u8 *byte_row = probability + (label_row - labels);
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        if (i >= count)
            break;
        float best = c[i].best, of_background = c[i].background;
        if (activation == SOFTMAX) {
            best = expf(best - c[i].peak) / c[i].sum;
            of_background = expf(of_background - c[i].peak) / c[i].sum;
        } else if (activation == SIGMOID) {
            best = 1.0f / (1.0f + expf(-best));
            of_background = 1.0f / (1.0f + expf(-of_background));
        }
        int label = c[i].label;
        if (by_background ? !above(1.0f - of_background, t_seg)
                          : !probabilities && !above(best, t_seg))
            label = 0;
        best = best < 1.0f ? best : 1.0f;
        best = best > 0.0f ? best : 0.0f;
        label_row[i] = (u8)label;
        byte_row[i] = label ? (u8)(best * 255.0f + 0.5f) : 0;
    }
}

// Four blocks of 256 threads on a multiprocessor at least; registers leave room for five.
// Left to itself the compiler takes six for sm_120, and spills.
extern "C" __global__ void __launch_bounds__(256, 4)
assemble_f32(const f32::item *scores, int channels, int edge, const int *places, u8 *labels,
             u8 *probability, int height, int width, float t_seg, int joint, int background,
             int activation)
{
    assemble<f32>(scores, channels, edge, places, labels, probability, height, width, t_seg,
                 joint, background, activation);
}

extern "C" __global__ void __launch_bounds__(256, 4)
assemble_f16(const f16::item *scores, int channels, int edge, const int *places, u8 *labels,
             u8 *probability, int height, int width, float t_seg, int joint, int background,
             int activation)
{
    assemble<f16>(scores, channels, edge, places, labels, probability, height, width, t_seg,
                 joint, background, activation);
}

extern "C" __global__ void __launch_bounds__(256, 4)
assemble_bf16(const bf16::item *scores, int channels, int edge, const int *places, u8 *labels,
              u8 *probability, int height, int width, float t_seg, int joint, int background,
              int activation)
{
    assemble<bf16>(scores, channels, edge, places, labels, probability, height, width, t_seg,
                 joint, background, activation);
}
