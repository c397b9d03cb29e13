/* Extremes, sums and sums of squares of voxels as they are stored, read once.
 *
 * Those of integers are exact. Floating-point sums are made in one order, whatever the
 * processor: voxel i of a run of 1,024 goes to lane i mod 8, lanes are added in pairs, runs
 * one after the other.
 */
#include "core.h"

enum { LANES = 8, RUN = 1024 };

typedef double doubles __attribute__((vector_size(32)));

#define ACROSS(v) ((v[0] + v[1]) + (v[2] + v[3]))

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#define TYPE float
#define NAME(x) x##_f32
#include "moments.h"

#define TYPE double
#define NAME(x) x##_f64
#include "moments.h"

/* A run's sum fits 32 bits, and its squares those of SQUARE; both fit 53 for a block. */
#define WHOLE(NAME, TYPE, SQUARE)                                                          \
    DEP_CLONES static void NAME(const TYPE *voxels, int64_t count, dep_moments *m)         \
    {                                                                                      \
        TYPE low = voxels[0], high = voxels[0];                                            \
        for (int64_t block = 0, k = 0; block < count; block += DEP_BLOCK, k++) {           \
            const int64_t block_end = least(block + DEP_BLOCK, count);                     \
            int64_t sum = 0, square = 0;                                                   \
            for (int64_t run = block; run < block_end; run += RUN) {                       \
                const int64_t end = least(run + RUN, block_end);                           \
                int32_t s = 0;                                                             \
                SQUARE q = 0;                                                              \
                for (int64_t i = run; i < end; i++) {                                      \
                    const TYPE v = voxels[i];                                              \
                    low = v < low ? v : low;                                               \
                    high = v > high ? v : high;                                            \
                    s += v;                                                                \
                    q += (SQUARE)((SQUARE)v * (SQUARE)v);                                  \
                }                                                                          \
                sum += s;                                                                  \
                square += (int64_t)q;                                                      \
            }                                                                              \
            m->sums[k] = (double)sum;                                                      \
            m->squares[k] = (double)square;                                                \
        }                                                                                  \
        m->low = low;                                                                      \
        m->high = high;                                                                    \
    }

WHOLE(moments_i8, int8_t, int32_t)
WHOLE(moments_u8, uint8_t, int32_t)
WHOLE(moments_i16, int16_t, int64_t)
WHOLE(moments_u16, uint16_t, int64_t)

void dep_measure_voxels(const void *voxels, char type, int64_t count, double pivot,
                        dep_moments *m)
{
    switch (type) {
    case 'b':
        moments_i8(voxels, count, m);
        break;
    case 'B':
        moments_u8(voxels, count, m);
        break;
    case 'h':
        moments_i16(voxels, count, m);
        break;
    case 'H':
        moments_u16(voxels, count, m);
        break;
    case 'f':
        moments_f32(voxels, count, pivot, m);
        break;
    default:
        moments_f64(voxels, count, pivot, m);
    }
}
