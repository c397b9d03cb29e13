/* Divides exact integers and rounds once, so that every twin gets the same float64. */
#include <math.h>

#include "core.h"

double dep_ratio(dep_u128 numerator, dep_u128 denominator)
{
    const dep_u128 exact = (dep_u128)1 << 53;
    if (numerator <= exact && denominator <= exact) /* both exact in float64 */
        return (double)(uint64_t)numerator / (double)(uint64_t)denominator;
    if (numerator == 0)
        return 0.0;

    /* Long division to 56 bits or more: the last one then only says "and something more",
     * and converting to float64 rounds the true quotient. */
    dep_u128 quotient = numerator / denominator, rest = numerator % denominator;
    int exponent = 0;
    while (quotient < (dep_u128)1 << 55) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= denominator) {
            rest -= denominator;
            quotient |= 1;
        }
        exponent--;
    }
    if (rest)
        quotient |= 1;
    return ldexp((double)quotient, exponent);
}
