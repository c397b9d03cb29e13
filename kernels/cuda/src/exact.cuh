// Integer types, exact 128-bit arithmetic and a division that rounds once: what the C
// core has from its compiler (c/core.h, c/ratio.c). No headers: NVRTC has none.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

// CuPy compiles with denormal floats flushed to zero, and no option of ours changes that.
// PTX says of each instruction whether it flushes: these do not. (float64 never does.)
__device__ inline bool above(float a, float b)  // a > b; false for NaN
{
#ifdef __CUDA_ARCH__
    u32 result;
    asm("set.gt.u32.f32 %0, %1, %2;" : "=r"(result) : "f"(a), "f"(b));
    return result != 0;
#else
    return a > b;
#endif
}

__device__ inline double widened(float a)
{
#ifdef __CUDA_ARCH__
    double result;
    asm("cvt.f64.f32 %0, %1;" : "=d"(result) : "f"(a));
    return result;
#else
    return a;
#endif
}

struct u128 {
    u64 low, high;
};

__device__ inline u128 make_u128(u64 low) {
    u128 r = {low, 0};
    return r;
}

__device__ inline u128 product(u64 a, u64 b) {
    u128 r = {a * b, __umul64hi(a, b)};
    return r;
}

__device__ inline u128 add(u128 a, u128 b) {
    u128 r = {a.low + b.low, a.high + b.high};
    r.high += r.low < a.low;
    return r;
}

__device__ inline u128 subtract(u128 a, u128 b) {  // a >= b
    u128 r = {a.low - b.low, a.high - b.high};
    r.high -= a.low < b.low;
    return r;
}

__device__ inline bool less(u128 a, u128 b) {
    return a.high < b.high || (a.high == b.high && a.low < b.low);
}

__device__ inline u128 doubled(u128 a) {
    u128 r = {a.low << 1, a.high << 1 | a.low >> 63};
    return r;
}

// The float64 nearest to numerator / denominator, ties to even. Takes
// numerator <= denominator, 0 < denominator < 2^126.
__device__ inline double ratio(u128 numerator, u128 denominator) {
    const u64 exact = 1ull << 53;
    if (denominator.high == 0 && denominator.low <= exact)
        return (double)numerator.low / (double)denominator.low;
    if (numerator.high == 0 && numerator.low == 0)
        return 0.0;
    // Long division to 56 bits: the last only says "and something more", and converting
    // to float64 rounds the true quotient.
    u64 quotient = 0;
    u128 rest = numerator;
    if (!less(rest, denominator)) {
        quotient = 1;
        rest = subtract(rest, denominator);
    }
    int exponent = 0;
    while (quotient < 1ull << 55) {
        rest = doubled(rest);
        quotient <<= 1;
        if (!less(rest, denominator)) {
            rest = subtract(rest, denominator);
            quotient |= 1;
        }
        exponent--;
    }
    if (rest.low | rest.high)
        quotient |= 1;
    return ldexp((double)quotient, exponent);
}
