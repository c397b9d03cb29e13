/* What the parts of MP-NMS share: cells of the label volume, boxes, measured candidates. */
#ifndef DEP_NMS_H
#define DEP_NMS_H

#include "core.h"

enum { CELL = 8, BRICK_Z = 32, BRICK_Y = 32, BRICK_X = 64 }; /* voxels */
enum { WORDS = 4 };                                          /* 256 classes in 64-bit words */

typedef struct {
    int64_t low[3], high[3]; /* z, y, x; high is one past the end */
} dep_box;

/* Which labels each cell of 8 x 8 x 8 voxels holds: one read of the volume tells where the
 * work is. Takes a sixteenth of the label volume's memory. */
typedef struct {
    int64_t shape[3];
    uint64_t (*labels)[WORDS];
} dep_cells;

int dep_cells_build(const dep_volume *labels, int threads, dep_cells *cells);

/* The labels within a region, joined. */
void dep_cells_join(const dep_cells *cells, const dep_box *region, uint64_t joined[WORDS]);

/* Shrink a region to the voxels of one mask: those labelled `label`, or with any = 1
 * those labelled at all. Returns 0 when there are none. */
int dep_cells_bounds(const dep_cells *cells, const dep_volume *labels, int label, int any,
                     dep_box *region);

/* Weights of n iterated box sums of three, (1 + x + x^2)^n, by distance from the centre. */
typedef struct {
    int64_t at[DEP_MAX_ITERATIONS + 1][DEP_MAX_ITERATIONS + 1];
} dep_weights;

void dep_weights_fill(dep_weights *weights);

/* A candidate as the search meets it. */
typedef struct {
    int64_t z, y, x;          /* in the array */
    int64_t neighbourhood[27]; /* S at and around it, -1 outside the tomogram */
    int label;                /* 0 when the mask is joint */
    int n;
    const dep_box *mask;      /* holds all voxels of the mask within n of it */
} dep_peak;

void dep_measure(const dep_nms_job *job, const dep_weights *weights, const dep_peak *peak,
                 dep_candidate *candidate);

static inline int64_t dep_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t dep_max(int64_t a, int64_t b) { return a > b ? a : b; }

static inline const uint8_t *dep_row(const dep_volume *v, int64_t z, int64_t y)
{
    return (const uint8_t *)v->data + z * v->stride[0] + y * v->stride[1];
}

#endif
