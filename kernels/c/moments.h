/* The moments of floating-point voxels of one type: included once for each.
 *
 * Before including, define NAME(x) and TYPE. Lanes lie in two vectors of the size that most
 * processors have.
 */

typedef TYPE NAME(four)
    __attribute__((vector_size(4 * sizeof(TYPE)), aligned(sizeof(TYPE)), may_alias));

/* Four voxels: their extremes, and sums in four lanes. */
#define TAKE(at, s, q)                                                                     \
    do {                                                                                   \
        const doubles v = __builtin_convertvector(*(const NAME(four) *)(at), doubles);     \
        const doubles d = v - pivot;                                                       \
        for (int lane = 0; lane < 4; lane++) {                                             \
            low[lane] = v[lane] < low[lane] ? v[lane] : low[lane];                         \
            high[lane] = v[lane] > high[lane] ? v[lane] : high[lane];                      \
        }                                                                                  \
        odd += v - v; /* of NaN and of infinity: NaN */                                    \
        s += d;                                                                            \
        q += d * d;                                                                        \
    } while (0)

DEP_CLONES static void NAME(moments)(const TYPE *voxels, int64_t count, double pivot,
                                     dep_moments *m)
{
    const doubles zero = {0};
    doubles low = zero + __builtin_inf(), high = -low, odd = zero;
    for (int64_t block = 0, k = 0; block < count; block += DEP_BLOCK, k++) {
        const int64_t block_end = least(block + DEP_BLOCK, count);
        double sum = 0, square = 0;
        for (int64_t run = block; run < block_end; run += RUN) {
            const int64_t end = least(run + RUN, block_end);
            doubles s0 = zero, s1 = zero, q0 = zero, q1 = zero;
            int64_t i = run;
            for (; i + LANES <= end; i += LANES) {
                TAKE(voxels + i, s0, q0);
                TAKE(voxels + i + 4, s1, q1);
            }
            doubles rest[4] = {zero, zero, zero, zero}; /* d, then its squares */
            for (int lane = 0; i < end; i++, lane++) {
                const double v = (double)voxels[i], d = v - pivot;
                low[0] = v < low[0] ? v : low[0];
                high[0] = v > high[0] ? v : high[0];
                odd[0] += v - v;
                rest[lane / 4][lane % 4] = d;
                rest[2 + lane / 4][lane % 4] = d * d;
            }
            s0 += rest[0];
            s1 += rest[1];
            q0 += rest[2];
            q1 += rest[3];
            sum += ACROSS(s0) + ACROSS(s1);
            square += ACROSS(q0) + ACROSS(q1);
        }
        m->sums[k] = sum;
        m->squares[k] = square;
    }
    m->low = low[0];
    m->high = high[0];
    for (int lane = 1; lane < 4; lane++) {
        m->low = low[lane] < m->low ? low[lane] : m->low;
        m->high = high[lane] > m->high ? high[lane] : m->high;
    }
    if (!(ACROSS(odd) == 0))
        m->low = m->high = __builtin_nan("");
}

#undef TAKE
#undef NAME
#undef TYPE
