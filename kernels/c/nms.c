/* MP-NMS over a label volume: bricks shared out to threads, boxes where a mask is. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nms.h"

/* One mask in one brick: find the candidates of `box`, given that `mask` encloses all mask
 * voxels within n + 1 of it. */
typedef struct {
    dep_box box, mask;
    int label, any, n; /* label 0 and any 1: the joint mask */
    int64_t pitch;     /* VALUEs from row to row in the buffers */
} box_task;

/* Buffers and findings of one thread. */
typedef struct {
    void *memory, *line, *rows, *planes, *sums;
    /* Whether a row of `rows`, `planes` and `sums` is anything but zero: a brick is mostly
     * background even where it is not empty. */
    uint8_t live_row[BRICK_Y + 2 * (DEP_MAX_ITERATIONS + 1)];
    uint8_t live_plane[(BRICK_Z + 2 * (DEP_MAX_ITERATIONS + 1)) * (BRICK_Y + 2)];
    uint8_t live_sum[(BRICK_Z + 2) * (BRICK_Y + 2)];
    const dep_weights *weights;
    dep_candidate *found;
    int64_t count, room;
    int result;
} workspace;

typedef struct {
    const dep_nms_job *job;
    const dep_cells *cells;
    workspace *spaces;
    int most; /* the largest n */
    int64_t bricks[3];
    atomic_llong next;
} search_context;

static dep_candidate *add(workspace *space)
{
    if (space->count == space->room) {
        const int64_t room = space->room ? 2 * space->room : 256;
        dep_candidate *more = realloc(space->found, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        space->found = more;
        space->room = room;
    }
    return &space->found[space->count++];
}

/* 27^n fits 16 bits up to n = 3, 32 up to 6, 64 up to 13. */
#define NAME(x) x##_16
#define VALUE int16_t
#define LANES 16
#include "sums.h"

#define NAME(x) x##_32
#define VALUE int32_t
#define LANES 8
#include "sums.h"

#define NAME(x) x##_64
#define VALUE int64_t
#define LANES 4
#include "sums.h"

static int64_t pitch_for(int64_t width)
{
    return (width + 15) / 16 * 16; /* whole vectors of every type */
}

static int reserve(workspace *space, int n)
{
    const size_t value = n <= 3 ? 2 : n <= 6 ? 4 : 8;
    const size_t pitch = value * (size_t)pitch_for(BRICK_X + 2);
    const size_t extent_z = BRICK_Z + 2 + 2 * (size_t)n, extent_y = BRICK_Y + 2 + 2 * (size_t)n;
    const size_t line = pitch + value * (2 * (size_t)n + 32), rows = extent_y * pitch;
    const size_t planes = extent_z * (BRICK_Y + 2) * pitch;
    const size_t sums = ((BRICK_Z + 2) * (BRICK_Y + 2) + 1) * pitch; /* read past the end */
    char *memory = calloc(1, line + rows + planes + sums);
    if (!memory)
        return DEP_NO_MEMORY;
    space->memory = memory;
    space->sums = memory;
    space->planes = memory + sums;
    space->rows = memory + sums + planes;
    space->line = memory + sums + planes + rows;
    return DEP_OK;
}

/* Search one mask in one brick. */
static int search_mask(search_context *c, const dep_box *brick, int label, int n,
                       workspace *space)
{
    const int64_t *shape = c->job->labels.shape;
    box_task task = {.label = label, .any = label == 0, .n = n};
    for (int axis = 0; axis < 3; axis++) {
        task.mask.low[axis] = dep_max(brick->low[axis] - n - 1, 0);
        task.mask.high[axis] = dep_min(brick->high[axis] + n + 1, shape[axis]);
    }
    if (!dep_cells_bounds(c->cells, &c->job->labels, label, task.any, &task.mask))
        return DEP_OK;
    for (int axis = 0; axis < 3; axis++) { /* S > 0 within n of the mask only */
        task.box.low[axis] = dep_max(brick->low[axis], task.mask.low[axis] - n);
        task.box.high[axis] = dep_min(brick->high[axis], task.mask.high[axis] + n);
        if (task.box.low[axis] >= task.box.high[axis])
            return DEP_OK;
    }
    task.pitch = pitch_for(task.box.high[2] - task.box.low[2] + 2);
    if (n <= 3)
        return search_16(c, &task, space);
    return n <= 6 ? search_32(c, &task, space) : search_64(c, &task, space);
}

static int search_brick(search_context *c, int64_t number, workspace *space)
{
    static const int64_t edge[3] = {BRICK_Z, BRICK_Y, BRICK_X};
    const dep_nms_job *job = c->job;
    const int64_t place[3] = {number / c->bricks[2] / c->bricks[1],
                              number / c->bricks[2] % c->bricks[1], number % c->bricks[2]};
    dep_box brick, region;
    for (int axis = 0; axis < 3; axis++) {
        const int64_t start = axis == 0 ? job->core[0] : 0;
        const int64_t end = axis == 0 ? job->core[1] : job->labels.shape[axis];
        brick.low[axis] = start + place[axis] * edge[axis];
        brick.high[axis] = dep_min(brick.low[axis] + edge[axis], end);
        region.low[axis] = dep_max(brick.low[axis] - c->most - 1, 0);
        region.high[axis] =
            dep_min(brick.high[axis] + c->most + 1, job->labels.shape[axis]);
    }
    uint64_t present[WORDS];
    dep_cells_join(c->cells, &region, present);
    present[0] &= ~(uint64_t)1; /* background */
    if (job->joint) {
        if (present[0] | present[1] | present[2] | present[3])
            return search_mask(c, &brick, 0, job->iterations[0], space);
        return DEP_OK;
    }
    for (int label = 1; label < 256; label++) {
        if (!(present[label >> 6] >> (label & 63) & 1))
            continue;
        const int result = search_mask(c, &brick, label, job->iterations[label], space);
        if (result != DEP_OK)
            return result;
    }
    return DEP_OK;
}

static void search_bricks(void *context, int thread)
{
    search_context *c = context;
    workspace *space = &c->spaces[thread];
    space->result = reserve(space, c->most);
    while (space->result == DEP_OK) {
        const int64_t number = atomic_fetch_add(&c->next, 1);
        if (number >= c->bricks[0] * c->bricks[1] * c->bricks[2])
            return;
        space->result = search_brick(c, number, space);
    }
}

static int by_index_then_class(const void *first, const void *second)
{
    const dep_candidate *a = first, *b = second;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->class_id - b->class_id;
}

/* Join what the threads found; which thread found what leaves no trace. */
static int join(const search_context *c, int threads, dep_candidate **found, int64_t *count)
{
    *count = 0;
    for (int t = 0; t < threads; t++) {
        if (c->spaces[t].result != DEP_OK)
            return c->spaces[t].result;
        *count += c->spaces[t].count;
    }
    *found = malloc(((size_t)*count + 1) * sizeof **found);
    if (!*found)
        return DEP_NO_MEMORY;
    dep_candidate *to = *found;
    for (int t = 0; t < threads; t++)
        if (c->spaces[t].count) {
            memcpy(to, c->spaces[t].found, (size_t)c->spaces[t].count * sizeof *to);
            to += c->spaces[t].count;
        }
    qsort(*found, (size_t)*count, sizeof **found, by_index_then_class);
    return DEP_OK;
}

/* The largest n in use; or, when a label present has none, -1 and that label. */
static int largest_n(const dep_nms_job *job, const dep_cells *cells, int *unlisted)
{
    if (job->joint)
        return job->iterations[0];
    const int64_t *shape = job->labels.shape;
    const dep_box whole = {{0, 0, 0}, {shape[0], shape[1], shape[2]}};
    uint64_t present[WORDS];
    dep_cells_join(cells, &whole, present);
    int most = 1;
    for (int label = 1; label < 256; label++)
        if (present[label >> 6] >> (label & 63) & 1) {
            if (job->iterations[label] == 0) {
                *unlisted = label;
                return -1;
            }
            most = (int)dep_max(most, job->iterations[label]);
        }
    return most;
}

int dep_mp_nms(const dep_nms_job *job, dep_candidate **found, int64_t *count)
{
    *found = NULL;
    *count = 0;
    dep_cells cells = {0};
    int result = dep_cells_build(&job->labels, job->threads, &cells);
    if (result != DEP_OK)
        return result;

    search_context c = {.job = job, .cells = &cells};
    c.most = largest_n(job, &cells, &result);
    if (c.most < 0)
        goto done;
    c.bricks[0] = (job->core[1] - job->core[0] + BRICK_Z - 1) / BRICK_Z;
    c.bricks[1] = (job->labels.shape[1] + BRICK_Y - 1) / BRICK_Y;
    c.bricks[2] = (job->labels.shape[2] + BRICK_X - 1) / BRICK_X;
    atomic_init(&c.next, 0);
    const int64_t bricks = c.bricks[0] * c.bricks[1] * c.bricks[2];
    const int threads = (int)dep_max(1, dep_min(job->threads, bricks));
    dep_weights weights;
    dep_weights_fill(&weights);
    c.spaces = calloc((size_t)threads, sizeof *c.spaces);
    if (!c.spaces) {
        result = DEP_NO_MEMORY;
        goto done;
    }
    for (int t = 0; t < threads; t++)
        c.spaces[t].weights = &weights;
    dep_parallel(threads, search_bricks, &c);
    result = join(&c, threads, found, count);
    for (int t = 0; t < threads; t++) {
        free(c.spaces[t].memory);
        free(c.spaces[t].found);
    }
    free(c.spaces);
done:
    free(cells.labels);
    return result;
}
