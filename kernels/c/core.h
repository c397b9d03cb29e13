/* What the C twin offers to its Python binding and to its fuzz driver: no Python here. */
#ifndef DEP_CORE_H
#define DEP_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifndef __SIZEOF_INT128__
#error "the C core needs a compiler with 128-bit integers (gcc or clang, 64-bit target)"
#endif

/* One binary for every x86-64: the loader picks the variant that the processor knows.
 * Needs ifunc, which glibc has; elsewhere (musl, macOS, arm64) the plain build serves. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    defined(__gnu_linux__) && !defined(DEP_NO_CLONES)
#include <features.h>
#if defined(__GLIBC__) && __GNUC__ >= 12
#define DEP_CLONES                                                                     \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__GLIBC__)
#define DEP_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef DEP_CLONES
#define DEP_CLONES
#endif

__extension__ typedef unsigned __int128 dep_u128;
__extension__ typedef __int128 dep_i128;

enum { DEP_OK = 0, DEP_NO_MEMORY = -1 };
enum { DEP_MAX_ITERATIONS = 13 }; /* 27^13 < 2^62, 27^14 > 2^64 */

/* threads.c ---------------------------------------------------------------------------- */

/* Call work(context, thread) for thread = 0 .. threads - 1, each on a thread of its own
 * (0 on the caller's); where the system gives fewer, the caller makes the missing calls. */
void dep_parallel(int threads, void (*work)(void *context, int thread), void *context);

/* ratio.c ------------------------------------------------------------------------------ */

/* The float64 nearest to numerator / denominator, ties to even: what Python's int / int is.
 * Takes denominator > 0 and both below 2^126. */
double dep_ratio(dep_u128 numerator, dep_u128 denominator);

/* nms.c -------------------------------------------------------------------------------- */

typedef struct {
    const void *data;   /* NULL: no probabilities */
    int64_t shape[3];   /* z, y, x */
    int64_t stride[2];  /* bytes from plane to plane, from row to row; x is contiguous */
    int is_float;       /* float32 probabilities, else bytes */
} dep_volume;

typedef struct {
    dep_volume labels, probability;
    int64_t core[2];         /* candidates only from these planes, z0 <= z < z1 */
    int64_t origin;          /* z of the array's first plane in the tomogram */
    int joint, refine, threads;
    uint8_t iterations[256]; /* of each class, 0: not listed; joint: [0] */
    int64_t threshold[DEP_MAX_ITERATIONS + 1]; /* smallest S that is enough, for each n */
} dep_nms_job;

typedef struct {
    int64_t index;  /* linear index in the array given */
    double value;
    float xyz[3];
    float score;
    int32_t voxel[3]; /* x, y, z in the tomogram */
    int32_t class_id;
} dep_candidate;

/* Find all candidates, ordered by linear index, then class; the caller frees *found.
 * Returns DEP_OK, DEP_NO_MEMORY, or the smallest class that the volume holds and
 * job->iterations does not list. */
int dep_mp_nms(const dep_nms_job *job, dep_candidate **found, int64_t *count);

/* deduplicate.c ------------------------------------------------------------------------ */

/* Greedy selection; class_id may be NULL. Writes the kept indices, best first, to kept
 * (room for n) and their number to *count. Returns DEP_OK or DEP_NO_MEMORY. */
int dep_deduplicate(int64_t n, const float *xyz, const double *score,
                    const int32_t *class_id, double t_dist, int64_t *kept,
                    int64_t *count);

/* assemble.c --------------------------------------------------------------------------- */

typedef struct {
    const char *scores;       /* first voxel of the core in channel 0 */
    int64_t score_stride[3];  /* bytes from channel, plane, row to the next */
    int is_half;              /* float16, else float32 */
    int channels;
    uint8_t *labels, *probability; /* first voxel of the core in the slabs */
    int64_t label_stride[2], probability_stride[2];
    int64_t size[3];          /* z, y, x of the core */
    float t_seg;
    int joint, background, threads;
} dep_assemble_job;

void dep_assemble(const dep_assemble_job *job);

/* moments.c ---------------------------------------------------------------------------- */

enum { DEP_BLOCK = 1 << 17 }; /* voxels summed up into one number */

typedef struct {
    double low, high;       /* NaN, both: a voxel is NaN or infinite */
    double *sums, *squares; /* of each block: of the voxels' differences from the pivot */
} dep_moments;

/* Measure `count` > 0 voxels of one of the types bBhHfd (of Python's struct). There is no
 * pivot for integers, whose sums are exact. */
void dep_measure_voxels(const void *voxels, char type, int64_t count, double pivot,
                        dep_moments *moments);

#endif
