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

/* --- the grid: cells of edge 2 t_dist, so that a ball of radius t_dist meets two per axis ---
 *
 * Only kept candidates enter it. They are t_dist apart, so the number in a cell is bounded
 * (balls of radius t_dist / 2 in a cube of edge 3 t_dist: fewer than 52), however many
 * candidates fall there. Cells are not stored: a chain may mix cells that share a bucket,
 * and the distance decides. Cell numbers are float64, so nothing overflows: beyond 2^53
 * cells two different float32 coordinates are many cells apart. */

typedef struct {
    float xyz[3];
    int32_t class_id;
    int64_t next; /* kept candidate in the same bucket, -1 at the end */
} kept_point;

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t bits_of(double cell)
{
    uint64_t bits;
    cell += 0.0; /* -0.0 is cell 0 */
    memcpy(&bits, &cell, sizeof bits);
    return bits;
}

static uint64_t bucket_of(const double cell[3], int32_t class_id, uint64_t mask)
{
    uint64_t h = mix(bits_of(cell[0]) + UINT64_C(0x9e3779b97f4a7c15) * (uint32_t)class_id);
    h = mix(h + bits_of(cell[1]));
    return mix(h + bits_of(cell[2])) & mask;
}

static int has_neighbour(const kept_point *points, const int64_t *heads, uint64_t mask,
                         const kept_point *p, double t_dist)
{
    /* Rounding is monotone, so that |a - b| < t_dist puts b's cell between these two. */
    double low[3];
    int span[3];
    for (int axis = 0; axis < 3; axis++) {
        low[axis] = floor((p->xyz[axis] - t_dist) / (2 * t_dist));
        span[axis] = (int)(floor((p->xyz[axis] + t_dist) / (2 * t_dist)) - low[axis]);
    }
    for (int i = 0; i <= span[2]; i++)
        for (int j = 0; j <= span[1]; j++)
            for (int k = 0; k <= span[0]; k++) {
                const double cell[3] = {low[0] + k, low[1] + j, low[2] + i};
                int64_t q = heads[bucket_of(cell, p->class_id, mask)];
                for (; q >= 0; q = points[q].next) {
                    const double dx = (double)p->xyz[0] - points[q].xyz[0];
                    const double dy = (double)p->xyz[1] - points[q].xyz[1];
                    const double dz = (double)p->xyz[2] - points[q].xyz[2];
                    if (dx * dx + dy * dy + dz * dz < t_dist * t_dist &&
                        p->class_id == points[q].class_id)
                        return 1;
                }
            }
    return 0;
}

int dep_deduplicate(int64_t n, const float *xyz, const double *score,
                    const int32_t *class_id, double t_dist, int64_t *kept,
                    int64_t *count)
{
    int result = DEP_NO_MEMORY;
    uint64_t buckets = 64;
    while (buckets < (uint64_t)n)
        buckets *= 2;
    *count = 0;
    if (n == 0)
        return DEP_OK;
    entry *entries = malloc(2 * (size_t)n * sizeof *entries);
    int64_t(*histogram)[VALUES] = malloc(DIGITS * sizeof *histogram);
    kept_point *points = malloc((size_t)n * sizeof *points);
    int64_t *heads = malloc(buckets * sizeof *heads);
    if (!entries || !histogram || !points || !heads)
        goto done;

    const keys k = {xyz, class_id, entries + n, histogram};
    order(&k, score, entries, n);

    memset(heads, 0xff, buckets * sizeof *heads);
    for (int64_t i = 0; i < n; i++) {
        const int64_t index = entries[i].index;
        kept_point *p = &points[*count];
        memcpy(p->xyz, xyz + 3 * index, sizeof p->xyz);
        p->class_id = class_id ? class_id[index] : 0;
        if (t_dist * t_dist > 0) { /* else no distance is below it: all are kept */
            if (has_neighbour(points, heads, buckets - 1, p, t_dist))
                continue;
            double cell[3];
            for (int axis = 0; axis < 3; axis++)
                cell[axis] = floor(p->xyz[axis] / (2 * t_dist));
            const uint64_t bucket = bucket_of(cell, p->class_id, buckets - 1);
            p->next = heads[bucket];
            heads[bucket] = *count;
        }
        kept[(*count)++] = index;
    }
    result = DEP_OK;
done:
    free(entries);
    free(histogram);
    free(points);
    free(heads);
    return result;
}
