// MP-NMS over a label volume in exact integers, equal to kernels/reference.py bit for bit.
//
//   nms_cells    which labels each cell of 8 x 8 x 8 voxels holds: one read of the volume
//   nms_bricks   a list of the bricks near which there is a label at all
//   nms_search   S of each such brick, mask by mask, and its maxima (32- or 64-bit sums)
//   nms_measure  value, score, class by votes and sub-voxel centre of each maximum
//
// S is the mask convolved along each axis with the coefficients of (1 + x + x^2)^n, which
// is n box sums of three (Liu et al. 2024, MP-NMS; the same integers). 27^n fits 32 bits
// up to n = 6 and 64 up to 13. Lists are filled with atomics, in any order; the host sorts.
//
// What is read and written: nms_cells reads every voxel once and writes 1/16 of that;
// everything after works on bricks that are not empty. 512 x 512 x 200 voxels: 52 MB,
// 16 us at 3.3 TB/s. benchmarks/nms_work.py counts what the rest comes to.
#include "exact.cuh"

enum { CELL = 8, WORDS = 8, ACROSS = 4 };           // ACROSS cells in x: a block of nms_cells
enum { BRICK_X = 30, BRICK_Y = 6, BRICK_Z = 8 };    // voxels whose maxima a block reports
enum { WIDE = 32, HIGH = 8, DEEP = 10, LANES = 256 };  // with one voxel around: S is needed
enum { MOST_32 = 6, MOST = 13 };
enum { NEIGHBOURS = 27 };
enum { LAYERS = 6 };  // of cells that BRICK_Z + 2 * (MOST + 1) planes touch at most
// Entries of `state`, which the host zeroes (UNLISTED: 256) before it begins.
enum { BRICKS, NEXT_32, NEXT_64, FOUND, UNLISTED };

struct peak {
    i64 index;               // linear, in the array given
    i64 sums[NEIGHBOURS];    // S at and around it, -1 outside the volume
    int label, n;            // label 0: joint
};

struct candidate {  // as candidates.py: _RECORD
    i64 index;
    double value;
    float xyz[3];
    float score;
    int voxel[3];
    int class_id;
};

extern "C" __global__ void __launch_bounds__(256)
nms_cells(const u8 *labels, int depth, int height, int width, const u8 *iterations,
          u32 *cells, u8 *any, int cells_y, int cells_x, int *state)
{
    __shared__ u32 seen[ACROSS * WORDS];
    const int t = threadIdx.x + ACROSS * (threadIdx.y + CELL * threadIdx.z);
    if (t < ACROSS * WORDS)
        seen[t] = 0;
    __syncthreads();
    const int cell_x = blockIdx.x * ACROSS + threadIdx.x;
    const int z = blockIdx.z * CELL + threadIdx.z, y = blockIdx.y * CELL + threadIdx.y;
    if (z < depth && y < height) {
        const u8 *row = labels + ((i64)z * height + y) * width;
        const int low = cell_x * CELL, high = min(low + CELL, width);
        // Most cells are empty: their rows are looked at as one word where they are one.
        const bool word = high - low == CELL && (u64)(row + low) % CELL == 0;
        const bool empty = word && *(const u64 *)(row + low) == 0;
        int last = 0;  // labels come in runs
        for (int x = low; x < high && !empty; x++) {
            const int label = row[x];
            if (label == last || label == 0)
                continue;
            last = label;
            atomicOr(&seen[threadIdx.x * WORDS + (label >> 5)], 1u << (label & 31));
            if (iterations[label] == 0)
                atomicMin(&state[UNLISTED], label);
        }
    }
    __syncthreads();
    if (t >= ACROSS * WORDS || blockIdx.x * ACROSS + t / WORDS >= cells_x)
        return;
    const i64 first = ((i64)blockIdx.z * cells_y + blockIdx.y) * cells_x
        + blockIdx.x * ACROSS;
    cells[first * WORDS + t] = seen[t];
    if (t % WORDS == 0) {
        u32 joined = 0;
        for (int w = 0; w < WORDS; w++)
            joined |= seen[t + w];
        any[first + t / WORDS] = joined != 0;
    }
}

struct span {
    int low, high;
};

// The cells, along one axis, that hold voxels within `reach` of low .. high - 1.
__device__ inline span cells_near(int low, int high, int reach, int size)
{
    const span s = {max(low - reach, 0) / CELL, (min(high + reach, size) - 1) / CELL + 1};
    return s;
}

struct brick {
    int z, y, x;  // its first voxel
};

__device__ inline brick brick_at(i64 number, int bricks_y, int bricks_x, int core)
{
    const int x = (int)(number % bricks_x);
    number /= bricks_x;
    const int y = (int)(number % bricks_y), z = (int)(number / bricks_y);
    const brick b = {core + z * BRICK_Z, y * BRICK_Y, x * BRICK_X};
    return b;
}

extern "C" __global__ void __launch_bounds__(256)
nms_bricks(const u8 *any, int depth, int height, int width, int cells_y, int cells_x,
           int core_begin, int core_end, int bricks_y, int bricks_x, i64 bricks, int most,
           u32 *list, int *state)
{
    const i64 number = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= bricks)
        return;
    const brick b = brick_at(number, bricks_y, bricks_x, core_begin);
    const span z = cells_near(b.z, min(b.z + BRICK_Z, core_end), most, depth);
    const span y = cells_near(b.y, min(b.y + BRICK_Y, height), most, height);
    const span x = cells_near(b.x, min(b.x + BRICK_X, width), most, width);
    for (int k = z.low; k < z.high; k++)
        for (int j = y.low; j < y.high; j++)
            for (int i = x.low; i < x.high; i++)
                if (any[((i64)k * cells_y + j) * cells_x + i]) {
                    list[atomicAdd(&state[BRICKS], 1)] = (u32)number;
                    return;
                }
}

struct volume {
    const u8 *labels;
    int depth, height, width, core_begin, core_end;
};

// S of one mask in one brick, and its maxima. V holds 27^n. Bit i of `layers` tells whether
// the label is anywhere in the cells `lowest` + i along z.
template <typename V>
__device__ void search(const volume v, const brick b, int label, int n, const V *weights,
                       i64 threshold, int lowest, u32 layers, u8 *plane, V *rows, V *sums,
                       peak *peaks, int capacity, int *state)
{
    const int tx = threadIdx.x, ty = threadIdx.y, t = tx + WIDE * ty;
    const int wide = WIDE + 2 * n, high = HIGH + 2 * n;
    V s[DEEP];  // of this thread's column, from z = b.z - 1
#pragma unroll
    for (int k = 0; k < DEEP; k++)
        s[k] = 0;
    const int first = max(b.z - 1 - n, 0), end = min(b.z - 1 + DEEP + n, v.depth);
    bool any = false;
    for (int z = first; z < end; z++) {
        if (!(layers >> (z / CELL - lowest) & 1))  // the same for all threads
            continue;
        int some = 0;
        for (int j = ty; j < high; j += HIGH) {
            const int y = b.y - 1 - n + j;
            const u8 *row = v.labels + ((i64)z * v.height + y) * v.width;
            for (int i = tx; i < wide; i += WIDE) {
                const int x = b.x - 1 - n + i;
                int in = 0;
                if (y >= 0 && y < v.height && x >= 0 && x < v.width)
                    in = label ? row[x] == label : row[x] != 0;
                plane[j * wide + i] = (u8)in;
                some |= in;
            }
        }
        if (!__syncthreads_or(some))  // nothing of the mask in this plane
            continue;
        any = true;
        for (int j = ty; j < high; j += HIGH) {
            const u8 *in = plane + j * wide + tx;
            V sum = 0;
            for (int d = 0; d <= 2 * n; d++)
                sum += weights[d] * in[d];
            rows[j * WIDE + tx] = sum;
        }
        __syncthreads();
        V sum = 0;
        for (int d = 0; d <= 2 * n; d++)
            sum += weights[d] * rows[(ty + d) * WIDE + tx];
        if (sum == 0)
            continue;  // before the next barrier: all threads reach that one
#pragma unroll
        for (int k = 0; k < DEEP; k++) {
            const int d = z - (b.z - 1 + k) + n;
            if (d >= 0 && d <= 2 * n)
                s[k] += weights[d] * sum;
        }
    }
    if (!any)  // the same for all threads, which come from a barrier
        return;
    const int y = b.y - 1 + ty, x = b.x - 1 + tx;
    const bool inside = y >= 0 && y < v.height && x >= 0 && x < v.width;
#pragma unroll
    for (int k = 0; k < DEEP; k++) {
        const int z = b.z - 1 + k;  // beyond the faces there is no rival
        sums[k * LANES + t] = inside && z >= 0 && z < v.depth ? s[k] : (V)-1;
    }
    __syncthreads();
    if (inside && tx >= 1 && tx <= BRICK_X && ty >= 1 && ty <= BRICK_Y) {
        for (int k = 1; k <= BRICK_Z && b.z - 1 + k < v.core_end; k++) {
            const V *here = sums + k * LANES + t;
            if (*here < threshold)
                continue;
            bool best = true;  // an earlier voxel must be smaller, a later one not larger
            for (int i = 0; i < NEIGHBOURS && best; i++) {
                const V rival =
                    here[(i / 9 - 1) * LANES + (i / 3 % 3 - 1) * WIDE + i % 3 - 1];
                best = i < NEIGHBOURS / 2 ? rival < *here : rival <= *here;
            }
            if (!best)
                continue;
            const int slot = atomicAdd(&state[FOUND], 1);
            if (slot >= capacity)  // counted all the same: the host makes room
                continue;
            peak *p = &peaks[slot];
            p->index = ((i64)(b.z - 1 + k) * v.height + y) * v.width + x;
            p->label = label;
            p->n = n;
            for (int i = 0; i < NEIGHBOURS; i++)
                p->sums[i] =
                    here[(i / 9 - 1) * LANES + (i / 3 % 3 - 1) * WIDE + i % 3 - 1];
        }
    }
    __syncthreads();
}

// Bricks of the list in turn; the labels of each that have n of this kernel's width, that
// is `least` to `most`, the largest n that occurs.
template <typename V>
__device__ void search_bricks(const volume v, const u32 *cells, int cells_y, int cells_x,
                              int bricks_y, int bricks_x, const u32 *list, int joint,
                              const u8 *iterations, const i64 *trinomial,
                              const i64 *thresholds, int least, int most, int next,
                              u32 (*present)[WORDS], int *turn, V *weights, u8 *plane, V *rows,
                              V *sums, peak *peaks, int capacity, int *state)
{
    const int t = threadIdx.x + WIDE * threadIdx.y;
    for (;;) {
        if (t == 0)
            *turn = atomicAdd(&state[next], 1);
        if (t < LAYERS * WORDS)
            present[t / WORDS][t % WORDS] = 0;
        __syncthreads();
        const int mine = *turn;
        if (mine >= state[BRICKS])
            return;
        const brick b = brick_at(list[mine], bricks_y, bricks_x, v.core_begin);
        // One further than what reaches the brick: its rivals lie one voxel around it.
        const int reach = most + 1;
        const span z = cells_near(b.z, min(b.z + BRICK_Z, v.core_end), reach, v.depth);
        const span y = cells_near(b.y, min(b.y + BRICK_Y, v.height), reach, v.height);
        const span x = cells_near(b.x, min(b.x + BRICK_X, v.width), reach, v.width);
        const int in_x = x.high - x.low, in_y = y.high - y.low;
        for (int i = t; i < in_x * in_y * (z.high - z.low) * WORDS; i += LANES) {
            const int cell = i / WORDS, layer = cell / in_x / in_y;
            const i64 at = ((i64)(z.low + layer) * cells_y + y.low + cell / in_x % in_y)
                * cells_x + x.low + cell % in_x;
            const u32 held = cells[at * WORDS + i % WORDS];
            if (held)
                atomicOr(&present[layer][i % WORDS], held);
        }
        __syncthreads();
        int weighed = 0;
        for (int label = joint ? 0 : 1; label < (joint ? 1 : 256); label++) {
            const int n = iterations[label];
            if (n < least || n > most)
                continue;
            u32 layers = 0;
            for (int i = 0; i < LAYERS; i++) {
                u32 held = present[i][label >> 5] >> (label & 31) & 1;
                for (int w = 0; joint && w < WORDS; w++)
                    held |= present[i][w];
                layers |= (u32)(held != 0) << i;
            }
            if (!layers)
                continue;
            if (n != weighed) {  // what read them ended with a barrier
                if (t <= 2 * n)
                    weights[t] = (V)trinomial[n * (MOST + 1) + abs(t - n)];
                weighed = n;
                __syncthreads();
            }
            search<V>(v, b, label, n, weights, thresholds[n], z.low, layers, plane, rows,
                      sums, peaks, capacity, state);
        }
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(256, 3)
nms_search_32(const u8 *labels, int depth, int height, int width, int core_begin,
              int core_end, const u32 *cells, int cells_y, int cells_x, int bricks_y,
              int bricks_x, const u32 *list, int joint, int reach, const u8 *iterations,
              const i64 *trinomial, const i64 *thresholds, peak *peaks, int capacity,
              int *state)
{
    __shared__ u32 present[LAYERS][WORDS];
    __shared__ int turn;
    __shared__ int weights[2 * MOST_32 + 1];
    __shared__ u8 plane[(HIGH + 2 * MOST_32) * (WIDE + 2 * MOST_32)];
    __shared__ int rows[(HIGH + 2 * MOST_32) * WIDE];
    __shared__ int sums[DEEP * LANES];
    const volume v = {labels, depth, height, width, core_begin, core_end};
    search_bricks<int>(v, cells, cells_y, cells_x, bricks_y, bricks_x, list, joint,
                       iterations, trinomial, thresholds, 1, reach, NEXT_32, present,
                       &turn, weights, plane, rows, sums, peaks, capacity, state);
}

extern "C" __global__ void __launch_bounds__(256, 3)
nms_search_64(const u8 *labels, int depth, int height, int width, int core_begin,
              int core_end, const u32 *cells, int cells_y, int cells_x, int bricks_y,
              int bricks_x, const u32 *list, int joint, int reach, const u8 *iterations,
              const i64 *trinomial, const i64 *thresholds, peak *peaks, int capacity,
              int *state)
{
    __shared__ u32 present[LAYERS][WORDS];
    __shared__ int turn;
    __shared__ i64 weights[2 * MOST + 1];
    __shared__ u8 plane[(HIGH + 2 * MOST) * (WIDE + 2 * MOST)];
    __shared__ i64 rows[(HIGH + 2 * MOST) * WIDE];
    __shared__ i64 sums[DEEP * LANES];
    const volume v = {labels, depth, height, width, core_begin, core_end};
    search_bricks<i64>(v, cells, cells_y, cells_x, bricks_y, bricks_x, list, joint,
                       iterations, trinomial, thresholds, MOST_32 + 1, reach, NEXT_64,
                       present, &turn, weights, plane, rows, sums, peaks, capacity, state);
}

// Offset of the centroid of S - min(S) along one axis (0 x, 1 y, 2 z), in voxels.
__device__ inline double centroid(const i64 *sums, int axis)
{
    const int step = axis == 0 ? 1 : axis == 1 ? 3 : 9;
    i64 lowest = sums[NEIGHBOURS / 2];
    for (int i = 0; i < NEIGHBOURS; i++)
        if (sums[i] >= 0 && sums[i] < lowest)
            lowest = sums[i];
    u128 mass = make_u128(0), before = mass, after = mass;
    for (int i = 0; i < NEIGHBOURS; i++)
        if (sums[i] >= 0) {
            const u128 m = make_u128((u64)(sums[i] - lowest));
            const int side = i / step % 3;
            mass = add(mass, m);
            if (side == 0)
                before = add(before, m);
            if (side == 2)
                after = add(after, m);
        }
    if (mass.low == 0 && mass.high == 0)
        return 0.0;
    return less(after, before) ? -ratio(subtract(before, after), mass)
                               : ratio(subtract(after, before), mass);
}

extern "C" __global__ void __launch_bounds__(128)
nms_measure(const u8 *labels, const u8 *probability, int weighted, int depth, int height,
            int width, i64 z_origin, int joint, int refine, const i64 *trinomial,
            const peak *peaks, int capacity, candidate *found, const int *state)
{
    // Sum of weight * byte for each label, in units of 1 and of 2^32: no carry is lost,
    // for 255 * 27^13 < 2^70 and fewer than 2^15 voxels share a sum.
    __shared__ u64 low[256];
    __shared__ u64 high[256];
    __shared__ u32 seen[256];
    const int t = threadIdx.x;
    for (int c = blockIdx.x; c < min(state[FOUND], capacity); c += gridDim.x) {
        for (int l = t; l < 256; l += blockDim.x) {
            low[l] = high[l] = 0;
            seen[l] = 0;
        }
        __syncthreads();
        const peak *p = &peaks[c];
        const int x = (int)(p->index % width), y = (int)(p->index / width % height);
        const int z = (int)(p->index / width / height), n = p->n;
        const i64 *w = trinomial + n * (MOST + 1);
        const int edge = 2 * n + 1;
        if (weighted || joint)
            for (int i = t; i < edge * edge * edge; i += blockDim.x) {
                const int dx = i % edge - n, dy = i / edge % edge - n;
                const int dz = i / edge / edge - n;
                if (z + dz < 0 || z + dz >= depth || y + dy < 0 || y + dy >= height
                    || x + dx < 0 || x + dx >= width)
                    continue;
                const i64 at = p->index + ((i64)dz * height + dy) * width + dx;
                const int label = labels[at];
                if (label == 0 || (!joint && label != p->label))
                    continue;
                // 212941^3 * 255 at most, below 2^63.
                const u64 term = (u64)(w[abs(dz)] * w[abs(dy)] * w[abs(dx)])
                    * (weighted ? probability[at] : 1);
                atomicAdd(&low[label], term & 0xffffffffull);
                atomicAdd(&high[label], term >> 32);
                atomicOr(&seen[label], 1u);
            }
        __syncthreads();
        candidate *out = &found[c];
        const u64 s = (u64)p->sums[NEIGHBOURS / 2];
        if (t == 0) {
            int best = joint ? 0 : p->label;
            u128 most = make_u128(0), total = most;
            for (int l = 1; l < 256; l++) {
                if (!seen[l])
                    continue;
                const u128 carry = {high[l] << 32, high[l] >> 32};
                const u128 sum = add(carry, make_u128(low[l]));
                total = add(total, sum);
                if (joint && (best == 0 || less(most, sum))) {  // the smaller on a tie
                    best = l;
                    most = sum;
                }
            }
            u64 all = 1;
            for (int i = 0; i < n; i++)
                all *= 27;
            const double value = ratio(make_u128(s), make_u128(all));
            out->index = p->index;
            out->class_id = best;
            out->value = value;
            out->score = (float)(weighted ? ratio(total, product(255, s)) : value);
        }
        if (t < 3) {
            const i64 at = t == 0 ? x : t == 1 ? y : z + z_origin;
            const double shift = refine ? centroid(p->sums, t) : 0.0;
            out->voxel[t] = (int)at;
            out->xyz[t] = (float)((double)at + shift);
        }
        __syncthreads();
    }
}
