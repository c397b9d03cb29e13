/* Reads the label volume once and notes which labels occur where, cell by cell. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nms.h"

static inline void note(uint64_t cell[WORDS], uint8_t label)
{
    cell[label >> 6] |= (uint64_t)1 << (label & 63);
}

static void read_row(const uint8_t *row, int64_t width, uint64_t (*cell)[WORDS])
{
    int64_t x = 0;
    for (; x + 8 * CELL <= width; x += 8 * CELL, cell += 8) {
        uint64_t eight[8], any = 0;
        memcpy(eight, row + x, sizeof eight);
        for (int i = 0; i < 8; i++)
            any |= eight[i];
        if (!any) /* background, as most of a tomogram is */
            continue;
        for (int i = 0; i < 8; i++) {
            const uint64_t word = eight[i];
            if (!word)
                continue;
            if (word == (word & 255) * UINT64_C(0x0101010101010101)) {
                note(cell[i], word & 255);
                continue;
            }
            for (int byte = 0; byte < 8; byte++)
                note(cell[i], word >> 8 * byte & 255);
        }
    }
    for (; x < width; x += CELL, cell++)
        for (int64_t i = x; i < dep_min(x + CELL, width); i++)
            note(*cell, row[i]);
}

typedef struct {
    const dep_volume *labels;
    dep_cells *cells;
    atomic_llong next;
} scan;

static void scan_layers(void *context, int thread)
{
    (void)thread;
    scan *s = context;
    dep_cells *cells = s->cells;
    const int64_t *shape = s->labels->shape;
    for (;;) {
        const int64_t layer = atomic_fetch_add(&s->next, 1);
        if (layer >= cells->shape[0])
            return;
        const int64_t end = dep_min((layer + 1) * CELL, shape[0]);
        for (int64_t z = layer * CELL; z < end; z++)
            for (int64_t y = 0; y < shape[1]; y++) {
                const int64_t line = layer * cells->shape[1] + y / CELL;
                read_row(dep_row(s->labels, z, y), shape[2],
                         cells->labels + line * cells->shape[2]);
            }
    }
}

int dep_cells_build(const dep_volume *labels, int threads, dep_cells *cells)
{
    size_t count = 1;
    for (int axis = 0; axis < 3; axis++) {
        cells->shape[axis] = (labels->shape[axis] + CELL - 1) / CELL;
        count *= (size_t)cells->shape[axis];
    }
    cells->labels = calloc(count + 1, sizeof *cells->labels);
    if (!cells->labels)
        return DEP_NO_MEMORY;
    scan s = {.labels = labels, .cells = cells};
    atomic_init(&s.next, 0);
    dep_parallel((int)dep_min(threads, cells->shape[0]), scan_layers, &s);
    return DEP_OK;
}

void dep_cells_join(const dep_cells *cells, const dep_box *region, uint64_t joined[WORDS])
{
    memset(joined, 0, WORDS * sizeof *joined);
    for (int64_t z = region->low[0] / CELL; z * CELL < region->high[0]; z++)
        for (int64_t y = region->low[1] / CELL; y * CELL < region->high[1]; y++)
            for (int64_t x = region->low[2] / CELL; x * CELL < region->high[2]; x++) {
                const uint64_t *cell =
                    cells->labels[(z * cells->shape[1] + y) * cells->shape[2] + x];
                for (int w = 0; w < WORDS; w++)
                    joined[w] |= cell[w];
            }
}

static int holds(const uint64_t *cell, int label, int any)
{
    if (any)
        return (cell[0] & ~(uint64_t)1) || cell[1] || cell[2] || cell[3];
    return cell[label >> 6] >> (label & 63) & 1;
}

static void extend(dep_box *box, int axis, int64_t from, int64_t to)
{
    box->low[axis] = dep_min(box->low[axis], from);
    box->high[axis] = dep_max(box->high[axis], to);
}

/* Columns of a region that the mask reaches: eight to a word, the rest one by one. */
typedef struct {
    uint64_t word[(BRICK_X + 2 * (DEP_MAX_ITERATIONS + 1)) / 8];
    uint8_t rest[8];
} columns;

/* Note where the row is in the mask, any = 1 with label = 0 inverting the test; returns
 * whether it is at all. Rows are short: eight bytes at a time beat vectors. */
static int mark(const uint8_t *row, int64_t width, uint8_t label, uint8_t any, columns *c)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7, low = ~high;
    uint64_t found = 0;
    for (int64_t i = 0; i < width / 8; i++) {
        uint64_t bytes;
        memcpy(&bytes, row + 8 * i, sizeof bytes);
        bytes ^= label * ones;
        bytes |= (bytes & low) + low; /* high bit of a byte: 0 where it is the label */
        const uint64_t in = (any ? bytes : ~bytes) & high;
        c->word[i] |= in;
        found |= in;
    }
    for (int64_t i = width / 8 * 8; i < width; i++) {
        const uint8_t in = (row[i] == label) ^ any;
        c->rest[i % 8] |= in;
        found |= in;
    }
    return found != 0;
}

static int is_marked(const columns *c, int64_t i, int64_t width)
{
    if (i >= width / 8 * 8)
        return c->rest[i % 8];
    uint8_t bytes[8];
    memcpy(bytes, &c->word[i / 8], sizeof bytes);
    return bytes[i % 8] != 0;
}

int dep_cells_bounds(const dep_cells *cells, const dep_volume *labels, int label, int any,
                     dep_box *region)
{
    const dep_box nothing = {{INT64_MAX, INT64_MAX, INT64_MAX}, {0, 0, 0}};
    dep_box coarse = nothing, fine = nothing;
    for (int64_t z = region->low[0] / CELL; z * CELL < region->high[0]; z++)
        for (int64_t y = region->low[1] / CELL; y * CELL < region->high[1]; y++)
            for (int64_t x = region->low[2] / CELL; x * CELL < region->high[2]; x++)
                if (holds(cells->labels[(z * cells->shape[1] + y) * cells->shape[2] + x],
                          label, any)) {
                    extend(&coarse, 0, z * CELL, (z + 1) * CELL);
                    extend(&coarse, 1, y * CELL, (y + 1) * CELL);
                    extend(&coarse, 2, x * CELL, (x + 1) * CELL);
                }
    for (int axis = 0; axis < 3; axis++) {
        coarse.low[axis] = dep_max(coarse.low[axis], region->low[axis]);
        coarse.high[axis] = dep_min(coarse.high[axis], region->high[axis]);
    }

    columns reached = {0};
    const int64_t left = coarse.low[2], width = coarse.high[2] - left;
    for (int64_t z = coarse.low[0]; z < coarse.high[0]; z++)
        for (int64_t y = coarse.low[1]; y < coarse.high[1]; y++)
            if (mark(dep_row(labels, z, y) + left, width, (uint8_t)label, (uint8_t)any,
                     &reached)) {
                extend(&fine, 0, z, z + 1);
                extend(&fine, 1, y, y + 1);
            }
    for (int64_t i = 0; i < width; i++)
        if (is_marked(&reached, i, width))
            extend(&fine, 2, left + i, left + i + 1);
    *region = fine;
    return fine.high[2] > 0;
}
