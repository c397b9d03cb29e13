/* Runs the C core on random and adversarial input, to be built with sanitizers; no Python.
 *
 * Usage: fuzz SEED ROUNDS. Prints a checksum of all results, which must be the same for
 * every build and processor. What the results should be is tested from Python: here only
 * invariants that hold for any input.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

static uint64_t state, checksum = UINT64_C(0xcbf29ce484222325);

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int64_t below(int64_t limit) { return (int64_t)(draw() % (uint64_t)limit); }

static void require(int truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "fuzz: %s\n", what);
        exit(1);
    }
}

/* Memory of exactly the size asked for, so that one byte too far is caught. */
static void *exactly(int64_t bytes)
{
    void *memory = malloc(bytes > 0 ? (size_t)bytes : 1);
    require(memory != NULL, "out of memory");
    return memory;
}

/* FNV-1a */
static void add_up(const void *memory, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        checksum = (checksum ^ ((const uint8_t *)memory)[i]) * UINT64_C(0x100000001b3);
}

static void fuzz_nms(void)
{
    dep_nms_job job = {.joint = (int)below(2), .refine = (int)below(2)};
    int64_t voxels = 1;
    const int64_t longest[3] = {40, 40, 75};
    for (int axis = 0; axis < 3; axis++) {
        job.labels.shape[axis] = below(8) ? 1 + below(longest[axis]) : below(3);
        voxels *= job.labels.shape[axis];
    }
    job.labels.stride[1] = job.labels.shape[2];
    job.labels.stride[0] = job.labels.stride[1] * job.labels.shape[1];
    uint8_t *labels = exactly(voxels), *bytes = exactly(voxels);
    float *floats = exactly(voxels * 4);
    const int64_t sparse = (int64_t[]){1, 2, 50, 2000}[below(4)], classes = 1 + below(255);
    for (int64_t i = 0; i < voxels; i++) {
        labels[i] = below(sparse) ? 0 : (uint8_t)(1 + below(classes));
        bytes[i] = (uint8_t)draw();
        floats[i] = (float)bytes[i] / 255.0f;
    }
    job.labels.data = labels;
    job.probability = job.labels;
    job.probability.data = NULL;
    if (below(3)) {
        job.probability.is_float = (int)below(2);
        job.probability.data = job.probability.is_float ? (void *)floats : bytes;
        if (job.probability.is_float) {
            job.probability.stride[0] *= 4;
            job.probability.stride[1] *= 4;
        }
    }
    const int mixed = (int)below(2), n = 1 + (int)below(13);
    for (int c = 0; c < 256; c++)
        job.iterations[c] = (uint8_t)(mixed && !job.joint ? 1 + below(13) : n);
    const int64_t divisor = (int64_t[]){1, 3, 1000, INT64_MAX}[below(4)];
    int64_t all = 1;
    for (int i = 0; i <= DEP_MAX_ITERATIONS; i++, all *= 27) {
        job.threshold[i] = all / divisor > 0 ? all / divisor : 1;
        if (i == DEP_MAX_ITERATIONS)
            break;
    }
    job.core[0] = below(job.labels.shape[0] + 1);
    job.core[1] = job.core[0] + below(job.labels.shape[0] - job.core[0] + 1);
    job.threads = 1 + (int)below(3);

    dep_candidate *found;
    int64_t count;
    require(dep_mp_nms(&job, &found, &count) == DEP_OK, "mp_nms failed");
    for (int64_t i = 0; i < count; i++) {
        const dep_candidate *c = &found[i];
        require(c->value > 0 && c->value <= 1, "value");
        require(c->score >= 0 && c->score <= 1, "score");
        require(c->voxel[2] >= job.core[0] && c->voxel[2] < job.core[1], "core");
        for (int axis = 0; axis < 3; axis++)
            require(fabs(c->xyz[axis] - c->voxel[axis]) <= 1, "centre");
        require(i == 0 || found[i - 1].index < c->index ||
                    (found[i - 1].index == c->index && found[i - 1].class_id < c->class_id),
                "order");
    }
    add_up(found, count * (int64_t)sizeof *found);
    free(found);
    free(labels);
    free(bytes);
    free(floats);
}

static void fuzz_deduplicate(void)
{
    const int64_t n = below(4) ? below(400) : below(3);
    float *xyz = exactly(n * 12);
    double *score = exactly(n * 8);
    int32_t *classes = exactly(n * 4);
    int64_t *kept = exactly(n * 8), count;
    const double scale = pow(10, (double)below(76) - 38), grid = (double)(1 + below(1000));
    for (int64_t i = 0; i < n; i++) {
        for (int axis = 0; axis < 3; axis++)
            xyz[3 * i + axis] = (float)(scale * ((double)below(2000) / grid - 1));
        score[i] = (double)below(1 + (int64_t)grid);
        classes[i] = (int32_t)below(3) - 1;
    }
    for (int64_t i = 0; i < 3 * n; i++)
        if (!isfinite(xyz[i]))
            xyz[i] = 3e38f;
    const double t_dist = below(6) ? scale * (double)below(100) / grid
                                   : pow(10, (double)below(600) - 300);
    const int32_t *by_class = below(2) ? classes : NULL;
    require(dep_deduplicate(n, xyz, score, by_class, t_dist, kept, &count) == DEP_OK,
            "deduplicate failed");
    require(count <= n && (n == 0 || count > 0), "count");
    for (int64_t i = 1; i < count; i++)
        require(score[kept[i - 1]] >= score[kept[i]], "best first");
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++) {
            double d2 = 0;
            for (int axis = 0; axis < 3; axis++) {
                const double d = (double)xyz[3 * kept[i] + axis] - xyz[3 * kept[j] + axis];
                d2 += d * d;
            }
            require(!(d2 < t_dist * t_dist) ||
                        (by_class && classes[kept[i]] != classes[kept[j]]),
                    "distance");
        }
    add_up(kept, count * (int64_t)sizeof *kept);
    free(xyz);
    free(score);
    free(classes);
    free(kept);
}

static void fuzz_assemble(void)
{
    dep_assemble_job job = {.is_half = (int)below(2), .channels = 2 + (int)below(14),
                            .joint = (int)below(2), .background = (int)below(2),
                            .threads = 1 + (int)below(3), .t_seg = (float)below(100) / 100};
    int64_t voxels = 1;
    for (int axis = 0; axis < 3; axis++) {
        job.size[axis] = 1 + below(axis == 2 ? 70 : 25);
        voxels *= job.size[axis];
    }
    const int64_t item = job.is_half ? 2 : 4;
    uint8_t *scores = exactly(voxels * job.channels * item);
    for (int64_t i = 0; i < voxels * job.channels * item; i++)
        scores[i] = (uint8_t)draw(); /* any bits: NaN, infinities, denormals */
    uint8_t *labels = exactly(voxels), *probability = exactly(voxels);
    job.scores = (const char *)scores;
    job.score_stride[2] = job.size[2] * item;
    job.score_stride[1] = job.size[1] * job.score_stride[2];
    job.score_stride[0] = job.size[0] * job.score_stride[1];
    job.labels = labels;
    job.probability = probability;
    job.label_stride[1] = job.probability_stride[1] = job.size[2];
    job.label_stride[0] = job.probability_stride[0] = job.size[1] * job.size[2];
    dep_assemble(&job);
    for (int64_t i = 0; i < voxels; i++) {
        require(labels[i] <= job.channels - job.background, "label");
        require(labels[i] || !probability[i], "probability of background");
    }
    add_up(labels, voxels);
    add_up(probability, voxels);
    free(scores);
    free(labels);
    free(probability);
}

static void fuzz_moments(void)
{
    static const char types[] = "bBhHfd";
    static const int64_t items[] = {1, 1, 2, 2, 4, 8};
    const int kind = (int)below(6);
    const int64_t count = 1 + below((int64_t[]){3, 40, 3000, 2 * DEP_BLOCK + 9}[below(4)]);
    const int64_t blocks = (count + DEP_BLOCK - 1) / DEP_BLOCK;
    uint8_t *voxels = exactly(count * items[kind]);
    double *sums = exactly(blocks * 8), *squares = exactly(blocks * 8);
    for (int64_t i = 0; i < count * items[kind]; i++)
        voxels[i] = (uint8_t)draw();
    const int any = below(4) == 0; /* any bits: NaN, infinities, denormals */
    for (int64_t i = 0; i < count && !any; i++) {
        const double value = (double)below(2000001) / 1000 - 1000;
        if (kind == 4)
            ((float *)voxels)[i] = (float)value;
        if (kind == 5)
            ((double *)voxels)[i] = value;
    }
    dep_moments m = {.sums = sums, .squares = squares};
    dep_measure_voxels(voxels, types[kind], count, (double)below(100), &m);
    require(any || m.low <= m.high, "extremes");
    for (int64_t k = 0; k < blocks && !any; k++)
        require(squares[k] >= 0, "squares");
    if (m.low <= m.high) { /* else NaN, whose bits are the processor's */
        add_up(&m.low, 8);
        add_up(&m.high, 8);
        for (int64_t k = 0; k < blocks; k++)
            if (isfinite(sums[k]) && isfinite(squares[k])) {
                add_up(&sums[k], 8);
                add_up(&squares[k], 8);
            }
    }
    free(voxels);
    free(sums);
    free(squares);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fuzz SEED ROUNDS\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    for (int i = 0; i < 16; i++)
        draw();
    for (long round = strtol(argv[2], NULL, 10); round > 0; round--) {
        fuzz_nms();
        fuzz_deduplicate();
        fuzz_assemble();
        fuzz_moments();
    }
    printf("%016llx\n", (unsigned long long)checksum);
    return 0;
}
