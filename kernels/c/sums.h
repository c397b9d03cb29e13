/* S of one box and its peaks, for one integer type: included once for each.
 *
 * Before including, define NAME(x), VALUE (a signed integer that holds 27^n), and LANES,
 * the number of VALUEs in 32 bytes. Vectors are GNU C's: the compiler lowers them to what
 * the processor of the variant has.
 */

typedef VALUE NAME(vector) __attribute__((vector_size(32), aligned(sizeof(VALUE)), may_alias));

#define VECTOR NAME(vector)
#define LOAD(p) (*(const VECTOR *)(p))
#define STORE(p, v) (*(VECTOR *)(p) = (v))

/* out[i] = sum of weight[|d|] * line[i + n + d], d = -n .. n. */
static inline __attribute__((always_inline)) void
NAME(along_x)(const VALUE *line, const VALUE *weight, int n, int64_t width, VALUE *out)
{
    for (int64_t i = 0; i < width; i += LANES) {
        VECTOR sum = LOAD(line + i + n) * weight[0];
        for (int d = 1; d <= n; d++)
            sum += (LOAD(line + i + n - d) + LOAD(line + i + n + d)) * weight[d];
        STORE(out + i, sum);
    }
}

/* Rows that are not all zero, with the weight of each. */
typedef struct {
    const VALUE *row[2 * DEP_MAX_ITERATIONS + 1];
    VALUE weight[2 * DEP_MAX_ITERATIONS + 1];
    int count;
} NAME(taps);

/* Those of the rows k within n of `at`; row k begins at rows + k * step and is live, that is
 * not all zero, if live[k * live_step], for k = 0 .. size - 1. */
static inline __attribute__((always_inline)) void
NAME(gather)(const VALUE *rows, int64_t step, const uint8_t *live, int64_t live_step,
             int64_t size, int64_t at, int n, const VALUE *weight, NAME(taps) *taps)
{
    taps->count = 0;
    for (int64_t k = dep_max(at - n, 0); k < dep_min(at + n + 1, size); k++)
        if (live[k * live_step]) {
            taps->row[taps->count] = rows + k * step;
            taps->weight[taps->count++] = weight[k < at ? at - k : k - at];
        }
}

/* out = sum of weight * row over the taps; returns whether there are any. */
static inline __attribute__((always_inline)) uint8_t
NAME(across)(const NAME(taps) *taps, int64_t width, VALUE *out)
{
    for (int64_t i = 0; i < width; i += LANES) {
        VECTOR sum = {0};
        for (int k = 0; k < taps->count; k++)
            sum += LOAD(taps->row[k] + i) * taps->weight[k];
        STORE(out + i, sum);
    }
    return taps->count > 0;
}

/* Fill space->sums with S of the box and one voxel around it. */
DEP_CLONES static void NAME(fill)(const dep_volume *labels, const box_task *task,
                                  workspace *space)
{
    const int n = task->n;
    const dep_box *box = &task->box, *mask = &task->mask;
    const int64_t height = box->high[1] - box->low[1] + 2;
    const int64_t width = box->high[2] - box->low[2] + 2, pitch = task->pitch;
    VALUE *line = space->line, *rows = space->rows;
    VALUE *planes = space->planes, *sums = space->sums;
    const uint8_t label = (uint8_t)task->label, any = (uint8_t)task->any;
    VALUE weight[DEP_MAX_ITERATIONS + 1];
    for (int d = 0; d <= n; d++)
        weight[d] = (VALUE)space->weights->at[n][d];

    const int64_t mask_width = mask->high[2] - mask->low[2];
    const int64_t mask_height = mask->high[1] - mask->low[1];
    const int64_t mask_depth = mask->high[0] - mask->low[0];
    NAME(taps) taps;
    memset(line, 0, (size_t)(pitch + 2 * n) * sizeof *line);
    VALUE *inside = line + (mask->low[2] - (box->low[2] - 1 - n));
    for (int64_t z = 0; z < mask_depth; z++) {
        for (int64_t y = 0; y < mask_height; y++) {
            const uint8_t *row =
                dep_row(labels, mask->low[0] + z, mask->low[1] + y) + mask->low[2];
            uint8_t live = 0;
            for (int64_t i = 0; i < mask_width; i++) {
                const uint8_t in = (uint8_t)((row[i] == label) ^ any);
                inside[i] = in;
                live |= in;
            }
            space->live_row[y] = live;
            if (live)
                NAME(along_x)(line, weight, n, width, rows + y * pitch);
        }
        for (int64_t y = 0; y < height; y++) { /* of the box; at = its place in the mask */
            const int64_t at = box->low[1] - 1 + y - mask->low[1];
            NAME(gather)(rows, pitch, space->live_row, 1, mask_height, at, n, weight, &taps);
            space->live_plane[z * height + y] =
                NAME(across)(&taps, width, planes + (z * height + y) * pitch);
        }
    }
    for (int64_t z = 0; z < box->high[0] - box->low[0] + 2; z++) {
        const int64_t at = box->low[0] - 1 + z - mask->low[0];
        for (int64_t y = 0; y < height; y++) {
            NAME(gather)(planes + y * pitch, height * pitch, space->live_plane + y, height,
                         mask_depth, at, n, weight, &taps);
            space->live_sum[z * height + y] =
                NAME(across)(&taps, width, sums + (z * height + y) * pitch);
        }
    }
}

/* Write -1 where the voxel around the box lies outside the tomogram: it beats nothing. */
static void NAME(close_faces)(const dep_volume *labels, const box_task *task, VALUE *sums)
{
    const dep_box *box = &task->box;
    const int64_t depth = box->high[0] - box->low[0] + 2;
    const int64_t height = box->high[1] - box->low[1] + 2;
    const int64_t width = box->high[2] - box->low[2] + 2, pitch = task->pitch;
    for (int64_t z = 0; z < depth; z++)
        for (int64_t y = 0; y < height; y++) {
            VALUE *row = sums + (z * height + y) * pitch;
            const int64_t at_z = box->low[0] - 1 + z, at_y = box->low[1] - 1 + y;
            if (at_z < 0 || at_z >= labels->shape[0] || at_y < 0 || at_y >= labels->shape[1])
                for (int64_t x = 0; x < width; x++)
                    row[x] = -1;
            if (box->low[2] == 0)
                row[0] = -1;
            if (box->high[2] == labels->shape[2])
                row[width - 1] = -1;
        }
}

static inline __attribute__((always_inline)) int NAME(any_lane)(const VECTOR *lanes)
{
    uint64_t words[4];
    memcpy(words, lanes, sizeof words);
    return (words[0] | words[1] | words[2] | words[3]) != 0;
}

/* Find where S is enough and (S, then the smaller linear index) beats the neighbours: earlier
 * ones must be smaller, later ones not larger. Writes offsets into sums; returns how many. */
DEP_CLONES static int64_t NAME(search_row)(const VALUE *row, int64_t width, int64_t pitch,
                                           int64_t plane, int64_t enough, int32_t *found)
{
    int64_t count = 0;
    for (int64_t x = 1; x < width - 1; x += LANES) {
        const VALUE *here = row + x;
        const VECTOR s = LOAD(here);
        VECTOR peak = (VECTOR)(s >= (VALUE)enough);
        if (!NAME(any_lane)(&peak))
            continue;
        peak &= (VECTOR)(s > LOAD(here - 1)) & (VECTOR)(s >= LOAD(here + 1));
        if (!NAME(any_lane)(&peak))
            continue;
        for (int d = -1; d <= 1; d++) {
            peak &= (VECTOR)(s > LOAD(here - pitch + d)) & (VECTOR)(s >= LOAD(here + pitch + d));
            for (int e = -1; e <= 1; e++)
                peak &= (VECTOR)(s > LOAD(here - plane + e * pitch + d)) &
                        (VECTOR)(s >= LOAD(here + plane + e * pitch + d));
        }
        if (!NAME(any_lane)(&peak))
            continue;
        for (int lane = 0; lane < LANES && x + lane < width - 1; lane++)
            if (peak[lane])
                found[count++] = (int32_t)(x + lane);
    }
    return count;
}

static int NAME(search)(search_context *c, const box_task *task, workspace *space)
{
    NAME(fill)(&c->job->labels, task, space);
    VALUE *sums = space->sums;
    NAME(close_faces)(&c->job->labels, task, sums);
    const dep_box *box = &task->box;
    const int64_t height = box->high[1] - box->low[1] + 2;
    const int64_t width = box->high[2] - box->low[2] + 2, pitch = task->pitch;
    const int64_t plane = height * pitch;
    const int64_t enough = c->job->threshold[task->n];
    int32_t found[BRICK_X];
    for (int64_t z = box->low[0]; z < box->high[0]; z++)
        for (int64_t y = box->low[1]; y < box->high[1]; y++) {
            const VALUE *row =
                sums + (z - box->low[0] + 1) * plane + (y - box->low[1] + 1) * pitch;
            if (!space->live_sum[(z - box->low[0] + 1) * height + y - box->low[1] + 1])
                continue;
            const int64_t count = NAME(search_row)(row, width, pitch, plane, enough, found);
            for (int64_t i = 0; i < count; i++) {
                dep_peak peak = {.z = z, .y = y, .x = box->low[2] - 1 + found[i],
                                 .label = task->label, .n = task->n, .mask = &task->mask};
                int k = 0;
                for (int dz = -1; dz <= 1; dz++)
                    for (int dy = -1; dy <= 1; dy++)
                        for (int dx = -1; dx <= 1; dx++)
                            peak.neighbourhood[k++] =
                                row[found[i] + dz * plane + dy * pitch + dx];
                dep_candidate *candidate = add(space);
                if (!candidate)
                    return DEP_NO_MEMORY;
                dep_measure(c->job, space->weights, &peak, candidate);
            }
        }
    return DEP_OK;
}

#undef VECTOR
#undef LOAD
#undef STORE
#undef NAME
#undef VALUE
#undef LANES
