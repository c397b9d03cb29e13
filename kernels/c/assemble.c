/* Turns a tile of class scores into labels and probability bytes, written into slabs. */
#include <stdatomic.h>
#include <string.h>

#include "core.h"

enum { LANES = 8 };

typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));
typedef uint16_t halves __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

/* `mask ? a : b` lane by lane, on the bits; a mask is all ones or all zeros. */
#define CHOOSE(mask, a, b) ((floats)(((mask) & (ints)(a)) | (~(mask) & (ints)(b))))

/* Eight float16 as float32, exactly, by integer steps that neither F16C nor the
 * processor's treatment of denormals changes. */
static inline __attribute__((always_inline)) void widen(const void *from, floats *to)
{
    halves packed;
    memcpy(&packed, from, sizeof packed);
    const ints h = __builtin_convertvector(packed, ints);
    const ints magnitude = h & 0x7fff;
    const ints normal = (magnitude << 13) + (112 << 23); /* exponent bias 15 -> 127 */
    const ints special = (magnitude << 13) | 0x7f800000; /* infinity and NaN */
    const floats denormal = __builtin_convertvector(magnitude, floats) * 0x1p-24f;
    ints bits = (ints)CHOOSE(magnitude < 0x400, denormal, normal);
    bits = (ints)CHOOSE(magnitude >= 0x7c00, special, bits);
    *to = (floats)(bits | ((h & 0x8000) << 16));
}

static inline __attribute__((always_inline)) void
read_scores(const char *from, int64_t count, int is_half, floats *to)
{
    const size_t item = is_half ? sizeof(uint16_t) : sizeof(float);
    char tail[LANES * sizeof(float)];
    if (count < LANES) { /* never read beyond the row: the tile may end there */
        memset(tail, 0, sizeof tail);
        memcpy(tail, from, (size_t)count * item);
        from = tail;
    }
    if (is_half)
        widen(from, to);
    else
        memcpy(to, from, sizeof *to);
}

/* One row of the core; is_half and by_background are constants where this is called. */
static inline __attribute__((always_inline)) void
row(const dep_assemble_job *job, const char *scores, uint8_t *labels,
    uint8_t *probability, int is_half, int by_background)
{
    const int64_t item = is_half ? 2 : 4, channel = job->score_stride[0];
    const floats zero = {0}, one = zero + 1.0f;
    const floats t_seg = zero + job->t_seg;
    const floats start = by_background ? zero - __builtin_inff() : t_seg;
    for (int64_t x = 0; x < job->size[2]; x += LANES) {
        const int64_t count = job->size[2] - x;
        const char *from = scores + x * item;
        floats best = start, p;
        ints label = {0};
        for (int c = job->background; c < job->channels; c++) {
            read_scores(from + c * channel, count, is_half, &p);
            const ints better = p > best; /* false for NaN; the first of equals stays */
            best = CHOOSE(better, p, best);
            label = (better & (c + 1 - job->background)) | (~better & label);
        }
        if (by_background) {
            read_scores(from, count, is_half, &p);
            label &= (one - p) > t_seg;
        }
        best = CHOOSE(best < one, best, one);
        best = CHOOSE(best > zero, best, zero);
        const ints byte = __builtin_convertvector(best * 255.0f + 0.5f, ints) & (label != 0);
        const bytes8 l = __builtin_convertvector(label, bytes8);
        const bytes8 b = __builtin_convertvector(byte, bytes8);
        const size_t room = count < LANES ? (size_t)count : LANES;
        if (room == LANES) {
            memcpy(labels + x, &l, LANES);
            memcpy(probability + x, &b, LANES);
        } else {
            memcpy(labels + x, &l, room);
            memcpy(probability + x, &b, room);
        }
    }
}

#define PLANE(name, is_half, by_background)                                            \
    DEP_CLONES static void name(const dep_assemble_job *job, int64_t z)                \
    {                                                                                  \
        for (int64_t y = 0; y < job->size[1]; y++)                                     \
            row(job, job->scores + z * job->score_stride[1] + y * job->score_stride[2], \
                job->labels + z * job->label_stride[0] + y * job->label_stride[1],     \
                job->probability + z * job->probability_stride[0] +                    \
                    y * job->probability_stride[1],                                    \
                is_half, by_background);                                               \
    }

PLANE(plane_float, 0, 0)
PLANE(plane_float_joint, 0, 1)
PLANE(plane_half, 1, 0)
PLANE(plane_half_joint, 1, 1)

typedef struct {
    const dep_assemble_job *job;
    atomic_llong next;
} work;

static void planes(void *context, int thread)
{
    (void)thread;
    work *w = context;
    const dep_assemble_job *job = w->job;
    /* Without a background channel the foreground's probability is the largest p, and
     * "largest p > t_seg" is what the per-class rule says already. */
    const int joint = job->joint && job->background;
    for (;;) {
        const int64_t z = atomic_fetch_add(&w->next, 1);
        if (z >= job->size[0])
            return;
        if (job->is_half)
            (joint ? plane_half_joint : plane_half)(job, z);
        else
            (joint ? plane_float_joint : plane_float)(job, z);
    }
}

void dep_assemble(const dep_assemble_job *job)
{
    const int64_t values = job->channels * job->size[0] * job->size[1] * job->size[2];
    work w = {.job = job};
    atomic_init(&w.next, 0);
    /* Starting a thread costs about what 100,000 values do. */
    const int threads = values < 200000 ? 1 : job->threads;
    dep_parallel(threads < job->size[0] ? threads : (int)job->size[0], planes, &w);
}
