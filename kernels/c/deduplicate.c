/* Keeps the best candidate of every neighbourhood: a linear sort, then a grid hash. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* --- the order: score falling, then z, y, x rising, then class, then place in the input --- */

typedef struct {
    uint64_t key;
    int64_t index;
} entry;

/* Unsigned integers in the order of the numbers; -0.0 and 0.0 are one number. */
static uint64_t rising(double number)
{
    uint64_t bits;
    number += 0.0;
    memcpy(&bits, &number, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

enum { DIGIT_BITS = 11, DIGITS = 6, VALUES = 1 << DIGIT_BITS };

/* Stable radix sort by key, least digit first; digits that all keys share cost nothing.
 * The sorted entries end in `a`; `b` is scratch of the same size. */
static void radix_sort(entry *a, entry *b, int64_t n, int64_t (*histogram)[VALUES])
{
    memset(histogram, 0, DIGITS * sizeof *histogram);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++)
            histogram[d][a[i].key >> (d * DIGIT_BITS) & (VALUES - 1)]++;
    entry *from = a, *to = b;
    for (int d = 0; d < DIGITS; d++) {
        int64_t *start = histogram[d], sum = 0;
        if (start[from[0].key >> (d * DIGIT_BITS) & (VALUES - 1)] == n)
            continue;
        for (int v = 0; v < VALUES; v++) {
            const int64_t here = start[v];
            start[v] = sum;
            sum += here;
        }
        for (int64_t i = 0; i < n; i++)
            to[start[from[i].key >> (d * DIGIT_BITS) & (VALUES - 1)]++] = from[i];
        entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != a)
        memcpy(a, from, (size_t)n * sizeof *a);
}

typedef struct {
    const float *xyz;
    const int32_t *class_id;
    entry *scratch;
    int64_t (*histogram)[VALUES];
} keys;

static uint64_t tie_key(const keys *k, int64_t index, int level)
{
    if (level < 3)
        return rising(k->xyz[3 * index + 2 - level]); /* z, y, x */
    return k->class_id ? rising(k->class_id[index]) : 0;
}

static int before(const keys *k, int64_t a, int64_t b)
{
    for (int level = 0; level < 4; level++) {
        const uint64_t ka = tie_key(k, a, level), kb = tie_key(k, b, level);
        if (ka != kb)
            return ka < kb;
    }
    return a < b;
}

/* Order candidates of equal score. Linear as well: the keys from the last to the first. */
static void order_ties(const keys *k, entry *run, int64_t n)
{
    if (n <= 16) {
        for (int64_t i = 1; i < n; i++) {
            const entry e = run[i];
            int64_t j = i;
            for (; j > 0 && before(k, e.index, run[j - 1].index); j--)
                run[j] = run[j - 1];
            run[j] = e;
        }
        return;
    }
    for (int level = 3; level >= 0; level--) {
        for (int64_t i = 0; i < n; i++)
            run[i].key = tie_key(k, run[i].index, level);
        radix_sort(run, k->scratch, n, k->histogram);
    }
}

static void order(const keys *k, const double *score, entry *entries, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        entries[i] = (entry){~rising(score[i]), i};
    radix_sort(entries, k->scratch, n, k->histogram);
    for (int64_t start = 0, end; start < n; start = end) {
        for (end = start + 1; end < n && entries[end].key == entries[start].key;)
            end++;
        if (end - start > 1)
            order_ties(k, entries + start, end - start);
    }
}

/* --- the grid ---
 *
 * Cells have an edge of 2 t_dist: a ball of radius t_dist meets two of them on each axis.
 * Only kept candidates enter. They are t_dist apart, so a cell holds a bounded number of
 * them (balls of radius t_dist / 2 in a cube of edge 3 t_dist: fewer than 52), however many
 * candidates fall there. Cells themselves are not stored: a bucket may mix some, and the
 * distance decides. */

enum { POINTS = 5, NEIGHBOURS_IN_X = 16, AHEAD = 8 };

/* Kept candidates of one bucket and class; 64 bytes, a line of the cache. */
typedef struct {
    float xyz[POINTS][3]; /* NaN where unused: near nothing */
    uint32_t next;        /* the bucket's next block, 0 at the end */
} block;

typedef struct {
    double t_dist;
    uint64_t mask;     /* buckets / NEIGHBOURS_IN_X - 1 */
    uint32_t *first;   /* of each bucket: its block, 0 for none */
    block *blocks;     /* from 1 */
    int32_t *class_id; /* of each block */
    uint32_t count;
} grid;

/* Number of the cell that holds a coordinate. Beyond 2^62 cells, where numbers would not
 * fit, unequal float32 coordinates are many cells apart and a float64's bits serve. */
static inline int64_t cell_of(double coordinate, double t_dist)
{
    const double cell = coordinate / (2 * t_dist);
    int64_t number;
    if (cell > -0x1p62 && cell < 0x1p62) {
        number = (int64_t)cell;
        return number - ((double)number > cell); /* floor */
    }
    memcpy(&number, &cell, sizeof number);
    return number;
}

/* Neighbours along x share a line of the cache. */
static inline uint64_t bucket_of(const grid *g, int64_t x, int64_t y, int64_t z, int32_t class_id)
{
    uint64_t h = (uint64_t)(x >> 4) * UINT64_C(0x9e3779b97f4a7c15) +
                 (uint64_t)y * UINT64_C(0xc2b2ae3d27d4eb4f) +
                 (uint64_t)z * UINT64_C(0x165667b19e3779f9) +
                 (uint64_t)(uint32_t)class_id * UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 29;
    return (h & g->mask) * NEIGHBOURS_IN_X + (uint64_t)(x & 15);
}

static int near_any(const grid *g, uint64_t bucket, const float *p, int32_t class_id)
{
    const double t2 = g->t_dist * g->t_dist;
    for (uint32_t b = g->first[bucket]; b; b = g->blocks[b].next) {
        int near = 0;
        for (int i = 0; i < POINTS; i++) {
            const float *q = g->blocks[b].xyz[i];
            const double dx = (double)p[0] - q[0], dy = (double)p[1] - q[1];
            const double dz = (double)p[2] - q[2];
            near |= dx * dx + dy * dy + dz * dz < t2;
        }
        if (near && g->class_id[b] == class_id)
            return 1;
    }
    return 0;
}

static void insert(grid *g, uint64_t bucket, const float *p, int32_t class_id)
{
    for (uint32_t b = g->first[bucket]; b; b = g->blocks[b].next)
        if (g->class_id[b] == class_id && isnan(g->blocks[b].xyz[POINTS - 1][0]))
            for (int i = 0;; i++)
                if (isnan(g->blocks[b].xyz[i][0])) {
                    memcpy(g->blocks[b].xyz[i], p, sizeof g->blocks[b].xyz[i]);
                    return;
                }
    block *fresh = &g->blocks[++g->count];
    for (int i = 0; i < POINTS; i++)
        fresh->xyz[i][0] = fresh->xyz[i][1] = fresh->xyz[i][2] = NAN;
    memcpy(fresh->xyz[0], p, sizeof fresh->xyz[0]);
    fresh->next = g->first[bucket];
    g->first[bucket] = g->count;
    g->class_id[g->count] = class_id;
}

/* Enter the candidate unless a kept one of its class is near; returns whether it is kept. */
static int keep(grid *g, const float *p, int32_t class_id)
{
    int64_t own[3], low[3], high[3];
    for (int axis = 0; axis < 3; axis++) {
        /* Rounding is monotone: |a - b| < t_dist puts b's cell between these two. */
        own[axis] = cell_of(p[axis], g->t_dist);
        low[axis] = cell_of(p[axis] - g->t_dist, g->t_dist);
        high[axis] = cell_of(p[axis] + g->t_dist, g->t_dist);
    }
    const uint64_t home = bucket_of(g, own[0], own[1], own[2], class_id);
    if (near_any(g, home, p, class_id)) /* most that are dropped end here */
        return 0;
    for (int64_t z = low[2]; z <= high[2]; z++)
        for (int64_t y = low[1]; y <= high[1]; y++)
            for (int64_t x = low[0]; x <= high[0]; x++) {
                const uint64_t bucket = bucket_of(g, x, y, z, class_id);
                if (bucket != home && near_any(g, bucket, p, class_id))
                    return 0;
            }
    insert(g, home, p, class_id);
    return 1;
}

/* Ask for memory that a candidate will need: by score they jump about the volume. First
 * (stage 0) for the heads of its cells' buckets, later (stage 1) for the blocks there. */
static inline void look_ahead(const grid *g, const float *p, int32_t class_id, int stage)
{
    int64_t low[3], high[3];
    for (int axis = 0; axis < 3; axis++) {
        low[axis] = cell_of(p[axis] - g->t_dist, g->t_dist);
        high[axis] = cell_of(p[axis] + g->t_dist, g->t_dist);
    }
    for (int corner = 0; corner < 4; corner++) { /* two neighbours in x share a line */
        const int64_t y = corner & 1 ? high[1] : low[1], z = corner & 2 ? high[2] : low[2];
        const uint64_t bucket = bucket_of(g, low[0], y, z, class_id);
        if (stage == 0) {
            __builtin_prefetch(g->first + bucket);
        } else {
            __builtin_prefetch(g->blocks + g->first[bucket]);
            __builtin_prefetch(g->blocks + g->first[bucket_of(g, high[0], y, z, class_id)]);
        }
    }
}

int dep_deduplicate(int64_t n, const float *xyz, const double *score,
                    const int32_t *class_id, double t_dist, int64_t *kept,
                    int64_t *count)
{
    *count = 0;
    if (n == 0)
        return DEP_OK;
    if (n >= UINT32_MAX)
        return DEP_NO_MEMORY;
    int result = DEP_NO_MEMORY;
    const size_t room = (size_t)n + 1;
    uint64_t lines = 4;
    while (lines * NEIGHBOURS_IN_X < (uint64_t)n)
        lines *= 2;
    entry *entries = malloc(2 * (size_t)n * sizeof *entries);
    int64_t(*histogram)[VALUES] = malloc(DIGITS * sizeof *histogram);
    grid g = {.t_dist = t_dist, .mask = lines - 1};
    g.first = calloc(lines * NEIGHBOURS_IN_X, sizeof *g.first);
    g.blocks = aligned_alloc(sizeof *g.blocks, room * sizeof *g.blocks);
    g.class_id = malloc(room * sizeof *g.class_id);
    if (!entries || !histogram || !g.first || !g.blocks || !g.class_id)
        goto done;

    const keys k = {xyz, class_id, entries + n, histogram};
    order(&k, score, entries, n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t index = entries[i].index;
        if (i + 3 * AHEAD < n)
            __builtin_prefetch(xyz + 3 * entries[i + 3 * AHEAD].index);
        for (int stage = 0; stage < 2; stage++)
            if (i + (2 - stage) * AHEAD < n) {
                const int64_t later = entries[i + (2 - stage) * AHEAD].index;
                look_ahead(&g, xyz + 3 * later, class_id ? class_id[later] : 0, stage);
            }
        /* Where t_dist^2 is 0 no distance is below it, and all are kept. */
        if (!(t_dist * t_dist > 0) ||
            keep(&g, xyz + 3 * index, class_id ? class_id[index] : 0))
            kept[(*count)++] = index;
    }
    result = DEP_OK;
done:
    free(entries);
    free(histogram);
    free(g.first);
    free(g.blocks);
    free(g.class_id);
    return result;
}
