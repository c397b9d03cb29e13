// Runs CUDA kernels on the processor, exactly as they stand in kernels/cuda/src.
//
// Included before a .cu file that is compiled as C++. The threads of a block are fibres
// with stacks of their own: each runs until it comes to a barrier, then the next one
// does. Blocks run one after the other. What goes unseen on a device shows here:
//
//   a barrier that some threads of a block miss, or that they meet on different lines
//   shared memory read before it was written (it is filled with garbage for every block)
//   a missing barrier: fibres run in an order that `order` chooses, so that what one
//   needs of another is not there yet in one order or the other
//
// Bounds and uninitialised arrays are looked after by shim_device.py.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("shim_shared")))

struct dim3 {
    unsigned x, y, z;
};

static dim3 blockIdx, blockDim, gridDim, threadIdx;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline float __uint_as_float(unsigned bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline long long __double_as_longlong(double value)
{
    long long bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
// One fibre at a time: nothing interrupts a read-modify-write. The types are CUDA's own.
#define SHIM_ATOMIC(type)                                                               \
    static inline type atomicAdd(type *at, type by) { type old = *at; *at += by; return old; } \
    static inline type atomicOr(type *at, type by) { type old = *at; *at |= by; return old; }  \
    static inline type atomicMin(type *at, type by)                                     \
    {                                                                                   \
        type old = *at;                                                                 \
        *at = by < old ? by : old;                                                      \
        return old;                                                                     \
    }                                                                                   \
    static inline type atomicExch(type *at, type by) { type old = *at; *at = by; return old; }
SHIM_ATOMIC(int)
SHIM_ATOMIC(unsigned)
SHIM_ATOMIC(unsigned long long)

enum { SHIM_STACK = 64 << 10, SHIM_MOST = 1024, SHIM_DONE = -1, SHIM_RUNNING = 0 };

static char *shim_stacks;
static jmp_buf shim_scheduler, shim_fibre[SHIM_MOST];
static ucontext_t shim_first, shim_back;
static int shim_line[SHIM_MOST];  // the barrier that a fibre waits at; or DONE, RUNNING
static int shim_now, shim_vote, shim_voted;
static void (*shim_run)(void *);
static void *shim_job;
static char shim_fault[400];

static void shim_wait(int line)
{
    shim_line[shim_now] = line;
    if (!_setjmp(shim_fibre[shim_now]))
        _longjmp(shim_scheduler, 1);
}

static int shim_wait_or(int line, int value)
{
    shim_vote |= value != 0;
    shim_wait(line);
    return shim_voted;
}

#define __syncthreads() shim_wait(__LINE__)
#define __syncthreads_or(value) shim_wait_or(__LINE__, value)

static void shim_enter(void)
{
    // The first entry only leaves the address behind; _longjmp is much faster after that.
    if (!_setjmp(shim_fibre[shim_now]))
        swapcontext(&shim_first, &shim_back);
    shim_run(shim_job);
    shim_line[shim_now] = SHIM_DONE;
    _longjmp(shim_scheduler, 1);
}

static void shim_thread_index(int t)
{
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / blockDim.x / blockDim.y;
}

// The place of a fibre in the k-th turn of a phase: rising, falling, or shuffled.
static int shim_turn(int k, int threads, unsigned order)
{
    if (order == 0)
        return k;
    if (order == 1)
        return threads - 1 - k;
    unsigned step = order * 2654435761u % threads | 1;
    while (std::__gcd(step, (unsigned)threads) != 1)
        step += 2;
    return (int)(((unsigned long long)k * step + order) % threads);
}

extern char __start_shim_shared[] __attribute__((weak));
extern char __stop_shim_shared[] __attribute__((weak));

static const char *shim_block(int threads, unsigned order)
{
    if (__start_shim_shared)
        memset(__start_shim_shared, 0xa5, __stop_shim_shared - __start_shim_shared);
    for (int t = 0; t < threads; t++) {
        shim_now = t;
        shim_line[t] = SHIM_RUNNING;
        getcontext(&shim_first);
        shim_first.uc_stack.ss_sp = shim_stacks + (size_t)t * SHIM_STACK;
        shim_first.uc_stack.ss_size = SHIM_STACK;
        shim_first.uc_link = &shim_back;
        makecontext(&shim_first, shim_enter, 0);
        swapcontext(&shim_back, &shim_first);
    }
    for (;;) {
        shim_vote = 0;
        int met = SHIM_RUNNING;
        for (volatile int k = 0; k < threads; k++) {
            const int t = shim_turn(k, threads, order);
            if (shim_line[t] == SHIM_DONE && met == SHIM_RUNNING)
                met = SHIM_DONE;
            shim_now = t;
            shim_thread_index(t);
            if (shim_line[t] != SHIM_DONE && !_setjmp(shim_scheduler))
                _longjmp(shim_fibre[t], 1);
        }
        met = shim_line[0];
        for (int t = 1; t < threads; t++)
            if (shim_line[t] != met) {
                snprintf(shim_fault, sizeof shim_fault,
                         "block (%u, %u, %u): thread 0 is at %s %d, thread %d at %s %d",
                         blockIdx.x, blockIdx.y, blockIdx.z,
                         met == SHIM_DONE ? "its end," : "the barrier of line", met, t,
                         shim_line[t] == SHIM_DONE ? "its end," : "the barrier of line",
                         shim_line[t]);
                return shim_fault;
            }
        if (met == SHIM_DONE)
            return nullptr;
        shim_voted = shim_vote;
        if (order > 1)
            order = order * 1664525u + 1013904223u;  // another shuffle in every phase
    }
}

template <typename... A, std::size_t... I>
static void shim_call(void (*kernel)(A...), void **args, std::index_sequence<I...>)
{
    kernel(*(std::remove_cv_t<A> *)args[I]...);
}

template <typename... A>
static const char *shim_launch(void (*kernel)(A...), const unsigned *grid,
                               const unsigned *block, void **args, unsigned order)
{
    struct job {
        void (*kernel)(A...);
        void **args;
    } mine = {kernel, args};
    shim_job = &mine;
    shim_run = [](void *p) {
        shim_call(((job *)p)->kernel, ((job *)p)->args, std::index_sequence_for<A...>());
    };
    if (!shim_stacks)
        shim_stacks = (char *)malloc((size_t)SHIM_MOST * SHIM_STACK);
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
                if (const char *fault =
                        shim_block(blockDim.x * blockDim.y * blockDim.z, order))
                    return fault;
    return nullptr;
}

// What a parameter takes, as text: "p4" a pointer to items of 4 bytes, "i4", "f8".
template <typename A>
static void shim_describe(char *&to)
{
    if constexpr (std::is_pointer_v<A>)
        to += sprintf(to, "p%zu ", sizeof(std::remove_pointer_t<A>));
    else
        to += sprintf(to, "%c%zu ", std::is_floating_point_v<A> ? 'f' : 'i', sizeof(A));
}

template <typename... A>
static const char *shim_signature(void (*)(A...))
{
    static char text[400];
    char *to = text;
    (shim_describe<std::remove_cv_t<A>>(to), ...);
    return text;
}

#define SHIM_KERNEL(name)                                                               \
    extern "C" const char *launch_##name(const unsigned *grid, const unsigned *block,   \
                                         void **args, unsigned order)                   \
    {                                                                                   \
        return shim_launch(&name, grid, block, args, order);                            \
    }                                                                                   \
    extern "C" const char *signature_##name() { return shim_signature(&name); }
