// Distance deduplication in parallel rounds. A candidate is dropped once a better one near
// it is kept, and kept once every better one near it is dropped. Nothing else decides, so
// that the rounds end with what the sequential greedy choice gives: kernels/reference.py.
//
//   dedup_insert  all candidates into a grid hash: cells of twice the distance
//   dedup_round   decides what can be decided; counts what cannot yet
//
// Better: score falling, then z, y, x rising, then class rising, then place in the input.
// Distances are float64 of float32 coordinates, as everywhere; no fused multiply-add.
#include "exact.cuh"

enum { UNDECIDED, KEPT, DROPPED };
enum { NOBODY = -1 };

struct cell {
    i64 x, y, z;
};

// Number of the cell that holds a coordinate. Beyond 2^62 cells, where numbers would not
// fit, unequal float32 coordinates are many cells apart and a float64's bits serve.
__device__ inline i64 cell_of(double coordinate, double t_dist)
{
    const double cell = coordinate / (2 * t_dist);
    if (cell > -0x1p62 && cell < 0x1p62) {
        const i64 number = (i64)cell;
        return number - ((double)number > cell);  // floor
    }
    return __double_as_longlong(cell);
}

__device__ inline u32 bucket_of(i64 x, i64 y, i64 z, int class_id, u32 mask)
{
    u64 h = (u64)x * 0x9e3779b97f4a7c15ull + (u64)y * 0xc2b2ae3d27d4eb4full
        + (u64)z * 0x165667b19e3779f9ull + (u64)(u32)class_id * 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 29;
    return (u32)h & mask;
}

struct points {
    const float *xyz;
    const double *score;
    const int *class_id;  // all 0 where classes do not count
};

__device__ inline bool better(const points &p, int a, int b)
{
    if (p.score[a] != p.score[b])
        return p.score[a] > p.score[b];
    for (int axis = 2; axis >= 0; axis--) {
        const double of_a = widened(p.xyz[3 * a + axis]);
        const double of_b = widened(p.xyz[3 * b + axis]);
        if (of_a != of_b)
            return of_a < of_b;
    }
    if (p.class_id[a] != p.class_id[b])
        return p.class_id[a] < p.class_id[b];
    return a < b;
}

__device__ inline bool near(const float *a, const float *b, double t2)
{
    const double dx = widened(a[0]) - widened(b[0]), dy = widened(a[1]) - widened(b[1]);
    const double dz = widened(a[2]) - widened(b[2]);
    return dx * dx + dy * dy + dz * dz < t2;
}

extern "C" __global__ void __launch_bounds__(256)
dedup_insert(const float *xyz, const int *class_id, int n, double t_dist, int *first,
             u32 mask, int *next)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float *p = xyz + 3 * i;
    const u32 bucket = bucket_of(cell_of(widened(p[0]), t_dist),
                                 cell_of(widened(p[1]), t_dist),
                                 cell_of(widened(p[2]), t_dist), class_id[i], mask);
    next[i] = atomicExch(&first[bucket], i);
}

extern "C" __global__ void __launch_bounds__(256, 4)
dedup_round(const float *xyz, const double *score, const int *class_id, int n,
            double t_dist, const int *first, u32 mask, const int *next,
            volatile u8 *fate, int *undecided)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n || fate[i] != UNDECIDED)
        return;
    const points p = {xyz, score, class_id};
    const double t2 = t_dist * t_dist;
    cell low, high;
    // Rounding is monotone: |a - b| < t_dist puts b's cell between these two.
    low.x = cell_of(widened(xyz[3 * i]) - t_dist, t_dist);
    low.y = cell_of(widened(xyz[3 * i + 1]) - t_dist, t_dist);
    low.z = cell_of(widened(xyz[3 * i + 2]) - t_dist, t_dist);
    high.x = cell_of(widened(xyz[3 * i]) + t_dist, t_dist);
    high.y = cell_of(widened(xyz[3 * i + 1]) + t_dist, t_dist);
    high.z = cell_of(widened(xyz[3 * i + 2]) + t_dist, t_dist);
    bool waits = false;
    for (i64 z = low.z; z <= high.z; z++)
        for (i64 y = low.y; y <= high.y; y++)
            for (i64 x = low.x; x <= high.x; x++)
                for (int j = first[bucket_of(x, y, z, class_id[i], mask)]; j != NOBODY;
                     j = next[j]) {
                    // A fate that another thread writes meanwhile reads as undecided or
                    // decided; it never changes back, so that either is safe.
                    const u8 other = fate[j];
                    if (other == DROPPED || j == i || class_id[j] != class_id[i]
                        || !near(xyz + 3 * i, xyz + 3 * j, t2) || !better(p, j, i))
                        continue;
                    if (other == KEPT) {
                        fate[i] = DROPPED;
                        return;
                    }
                    waits = true;
                }
    if (waits)
        atomicAdd(undecided, 1);
    else
        fate[i] = KEPT;
}
