// Shared by all kernels: number types and their conversions, sums of a block in a fixed order, and how a kernel is
// declared.
//
// Every kernel is started with THREADS threads to a block and any number of blocks in one dimension: its loops advance
// by the whole grid, so the number of blocks changes its speed and no bit of its results. Results in memory are
// written by one thread each; nothing is atomic. Pointers need not be aligned to more than their own type.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

// Threads of a block. The order of every sum depends on it.
constexpr u32 THREADS = 256;

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define EXPORT(NAME)
#else
#include "host.h"
#endif

#define DEVICE __device__ __forceinline__

// A kernel that runs the statement which follows its parameters. Two blocks at once leave a thread 128 registers;
// without that number the compiler may aim at 32, and spill.
#define KERNEL(NAME, PARAMETERS, ...) \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) NAME PARAMETERS { __VA_ARGS__; } \
    EXPORT(NAME)

typedef __nv_bfloat16 bf16;
typedef __half f16;

// Calls DEFINE with the suffix in a kernel's name and the type, for each type of tensors. A test may want fewer.
#ifndef FOR_TYPES
#define FOR_TYPES(DEFINE) DEFINE(f32, float) DEFINE(f64, double) DEFINE(bf16, bf16) DEFINE(f16, f16)
#endif

// The type that numbers of type T are computed and added up in.
template <typename T> struct Wider { typedef float Type; };
template <> struct Wider<double> { typedef double Type; };
template <typename T> using Wide = typename Wider<T>::Type;

DEVICE float wide(float x) { return x; }
DEVICE double wide(double x) { return x; }
DEVICE float wide(bf16 x) { return __bfloat162float(x); }
DEVICE float wide(f16 x) { return __half2float(x); }

// The number of type T nearest to x, of two the even one.
template <typename T> DEVICE T narrow(Wide<T> x) { return x; }
template <> DEVICE bf16 narrow<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> DEVICE f16 narrow<f16>(float x) { return __float2half_rn(x); }

DEVICE float not_a_number() { return nanf(""); }

// Values that are added up side by side, for one wait in the place of two.
template <typename W> struct Two {
    W first, second;
};

template <typename W> DEVICE Two<W> operator+(Two<W> a, Two<W> b) { return {a.first + b.first, a.second + b.second}; }

// The values that the threads of a block hold, combined in an order that depends on THREADS alone: every LANES-th by
// one thread, and then these. Every thread has the result, and every thread must come here.
template <typename V, typename F> DEVICE V block_fold(V mine, F combine) {
    constexpr u32 LANES = 16;
    __shared__ V parts[THREADS];
    __shared__ V lanes[LANES];
    parts[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x < LANES) {
        V lane = parts[threadIdx.x];
        for (u32 i = threadIdx.x + LANES; i < THREADS; i += LANES) lane = combine(lane, parts[i]);
        lanes[threadIdx.x] = lane;
    }
    // Also keeps the next fold from writing to `parts` while this one reads it.
    __syncthreads();
    V result = lanes[0];
    for (u32 i = 1; i < LANES; i++) result = combine(result, lanes[i]);
    return result;
}

template <typename V> DEVICE V block_sum(V mine) {
    return block_fold(mine, [](V a, V b) { return a + b; });
}

// Numbers that one thread reads or writes in one instruction of 16 bytes, or one number.
template <u32 N, typename T> struct alignas(N * sizeof(T)) Elements {
    T at[N];
};

template <u32 N, typename T> DEVICE Elements<N, T> read(const T* from) {
    return *reinterpret_cast<const Elements<N, T>*>(from);
}

template <u32 N, typename T, typename F, typename... X> DEVICE void write(T* to, F f, const Elements<N, X>&... x) {
    Elements<N, T> results;
#pragma unroll
    for (u32 i = 0; i < N; i++) results.at[i] = narrow<T>(f(wide(x.at[i])...));
    *reinterpret_cast<Elements<N, T>*>(to) = results;
}

template <typename... P> DEVICE bool aligned(const P*... pointers) {
    return ((reinterpret_cast<u64>(pointers) % 16 == 0) && ...);
}

// Writes f(x, ...) to each of `count` elements of y; y may be an x. Each thread takes 16 bytes at once where the
// addresses allow that.
template <typename T, typename F, typename... X> DEVICE void map(u64 count, T* y, F f, const X*... x) {
    constexpr u32 TOGETHER = 16 / sizeof(T);
    u64 first = u64(blockIdx.x) * THREADS + threadIdx.x, step = u64(gridDim.x) * THREADS;
    u64 packs = aligned(y, x...) ? count / TOGETHER : 0;
    for (u64 i = first; i < packs; i += step) write(y + i * TOGETHER, f, read<TOGETHER>(x + i * TOGETHER)...);
    for (u64 i = packs * TOGETHER + first; i < count; i += step) write(y + i, f, read<1>(x + i)...);
}

// Calls f with each of the numbers below `count`, a thread for each.
template <typename F> DEVICE void for_each(u64 count, F f) {
    u64 step = u64(gridDim.x) * THREADS;
    for (u64 i = u64(blockIdx.x) * THREADS + threadIdx.x; i < count; i += step) f(i);
}
