/* Measures one candidate: value, score, class by votes, sub-voxel centre; exact integers. */
#include <string.h>

#include "nms.h"

void dep_weights_fill(dep_weights *weights)
{
    memset(weights, 0, sizeof *weights);
    weights->at[0][0] = 1;
    for (int n = 1; n <= DEP_MAX_ITERATIONS; n++) {
        const int64_t *last = weights->at[n - 1];
        weights->at[n][0] = last[0] + 2 * last[1];
        for (int d = 1; d <= n; d++)
            weights->at[n][d] = last[d - 1] + last[d] + (d < n ? last[d + 1] : 0);
    }
}

/* Probability as a byte, floor(p * 255 + 0.5) in float32; 1 where none is given. */
static int64_t weight_of(const void *probability, int64_t x, int is_float)
{
    if (!probability)
        return 1;
    if (!is_float)
        return ((const uint8_t *)probability)[x];
    float p;
    memcpy(&p, (const char *)probability + x * (int64_t)sizeof p, sizeof p);
    return (int64_t)(p * 255.0f + 0.5f);
}

/* Sum weight * byte over the mask around the peak, for each label apart when joint. */
static void sum_mask(const dep_nms_job *job, const dep_weights *weights, const dep_peak *peak,
                     dep_u128 sums[256], uint8_t seen[256])
{
    const int64_t *w = weights->at[peak->n];
    const int64_t at[3] = {peak->z, peak->y, peak->x};
    int64_t low[3], high[3];
    for (int axis = 0; axis < 3; axis++) {
        low[axis] = dep_max(at[axis] - peak->n, peak->mask->low[axis]);
        high[axis] = dep_min(at[axis] + peak->n + 1, peak->mask->high[axis]);
    }
    for (int64_t z = low[0]; z < high[0]; z++)
        for (int64_t y = low[1]; y < high[1]; y++) {
            const int64_t dz = z < at[0] ? at[0] - z : z - at[0];
            const int64_t dy = y < at[1] ? at[1] - y : y - at[1];
            const uint8_t *label = dep_row(&job->labels, z, y);
            const void *p = NULL;
            if (job->probability.data)
                p = dep_row(&job->probability, z, y);
            int64_t row = 0; /* 255 * 3^13 at most */
            for (int64_t x = low[2]; x < high[2]; x++) {
                const int l = label[x];
                if (l == 0 || (peak->label && l != peak->label))
                    continue;
                const int64_t dx = x < at[2] ? at[2] - x : x - at[2];
                const int64_t term = w[dx] * weight_of(p, x, job->probability.is_float);
                if (peak->label) {
                    row += term;
                } else {
                    sums[l] += (dep_u128)(uint64_t)(w[dz] * w[dy]) * (uint64_t)term;
                    seen[l] = 1;
                }
            }
            if (peak->label)
                sums[peak->label] += (dep_u128)(uint64_t)(w[dz] * w[dy]) * (uint64_t)row;
        }
}

/* Offset of the centroid of S - min(S) along one axis (0 x, 1 y, 2 z), in voxels. */
static double centroid(const int64_t neighbourhood[27], int axis)
{
    static const int step[3] = {1, 3, 9};
    int64_t lowest = INT64_MAX;
    for (int i = 0; i < 27; i++)
        if (neighbourhood[i] >= 0 && neighbourhood[i] < lowest)
            lowest = neighbourhood[i];
    dep_i128 mass = 0, moment = 0;
    for (int i = 0; i < 27; i++)
        if (neighbourhood[i] >= 0) {
            mass += neighbourhood[i] - lowest;
            moment += (neighbourhood[i] - lowest) * (dep_i128)(i / step[axis] % 3 - 1);
        }
    if (mass == 0)
        return 0.0;
    return moment < 0 ? -dep_ratio((dep_u128)-moment, (dep_u128)mass)
                      : dep_ratio((dep_u128)moment, (dep_u128)mass);
}

void dep_measure(const dep_nms_job *job, const dep_weights *weights, const dep_peak *peak,
                 dep_candidate *candidate)
{
    const dep_u128 s = (dep_u128)peak->neighbourhood[13];
    dep_u128 all = 1;
    for (int i = 0; i < peak->n; i++)
        all *= 27;
    candidate->index =
        (peak->z * job->labels.shape[1] + peak->y) * job->labels.shape[2] + peak->x;
    candidate->value = dep_ratio(s, all);
    candidate->score = (float)candidate->value;
    candidate->class_id = peak->label;

    const int has_probability = job->probability.data != NULL;
    if (has_probability || job->joint) {
        dep_u128 sums[256] = {0}, total = 0;
        uint8_t seen[256] = {0};
        sum_mask(job, weights, peak, sums, seen);
        int best = 0;
        for (int l = 255; l > 0; l--) { /* downwards: the smaller class wins a tie */
            total += sums[l];
            if (seen[l] && (!best || sums[l] >= sums[best]))
                best = l;
        }
        if (job->joint)
            candidate->class_id = best;
        if (has_probability)
            candidate->score = (float)dep_ratio(total, 255 * s);
    }

    const int64_t at[3] = {peak->x, peak->y, peak->z + job->origin};
    for (int axis = 0; axis < 3; axis++) {
        const double shift = job->refine ? centroid(peak->neighbourhood, axis) : 0.0;
        candidate->voxel[axis] = (int32_t)at[axis];
        candidate->xyz[axis] = (float)((double)at[axis] + shift);
    }
}
