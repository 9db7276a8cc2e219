// Stands in for CUDA where a C++ compiler for the host compiles a kernel: the kernel's own source then runs on this
// machine, and tests compare it with the operation on the CPU.
//
// The threads of a block are threads (host_threads.h), or fibers with HOST_FIBERS defined (host_fibers.h). Blocks run
// one after the other, in an order that the caller chooses, since `__shared__` variables are static here. Two copies of
// the library that each run some of a grid's blocks run blocks at the same time.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include <math.h>

#define __global__
#define __device__
// Always: ThreadSanitizer of GCC does not see what is read to be the argument of a call.
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static
#define __syncthreads() host::Pool::instance().wait(__LINE__)

struct Index {
    u32 x, y, z;
};

inline thread_local constinit Index threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0}, gridDim = {1, 1, 1};
inline constexpr Index blockDim = {THREADS, 1, 1};

struct __nv_bfloat16 {
    std::uint16_t bits;
};

struct __half {
    std::uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 x) { return std::bit_cast<float>(std::uint32_t(x.bits) << 16); }

inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    auto bits = std::bit_cast<std::uint32_t>(x);
    if (x != x) return {0x7fff};
    return {std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline float __half2float(__half x) {
    std::uint32_t sign = (x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31, mantissa = x.bits & 0x3ff;
    if (exponent == 0) return std::copysign(float(mantissa) * 0x1p-24f, std::bit_cast<float>(sign));
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

inline __half __float2half_rn(float x) {
    auto bits = std::bit_cast<std::uint32_t>(x);
    std::uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (x != x) return {0x7fff};
    // From the middle between the largest number and the next power of two on, it is infinity.
    if (magnitude >= 0x477ff000) return {std::uint16_t(sign | 0x7c00)};
    // Below 2^-14 the numbers are multiples of 2^-24, and so are those from 0.5 to 1 as floats.
    if (magnitude < 0x38800000) {
        float moved = std::bit_cast<float>(magnitude) + 0.5f;
        return {std::uint16_t(sign | (std::bit_cast<std::uint32_t>(moved) - 0x3f000000))};
    }
    return {std::uint16_t(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13))};
}

namespace host {

// Blocks of one kernel: those of a grid that this copy of the library runs, in their order.
struct Launch {
    void (*kernel)(void**);
    void** arguments;
    u32 grid;
    std::vector<u32> blocks;
    // Which number each thread of the pool has within a block.
    std::vector<u32> threads;
    u64 order;
};

}  // namespace host

#ifdef HOST_FIBERS
#include "host_fibers.h"
#else
#include "host_threads.h"
#endif

namespace host {

template <typename... Arguments, std::size_t... I>
void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<Arguments*>(arguments[I])...);
}

// The kernel as a function of addresses of its arguments, as `cuLaunchKernel` has them.
template <auto kernel> void call(void** arguments) {
    auto count = []<typename... A>(void (*)(A...)) { return std::index_sequence_for<A...>(); };
    call(kernel, arguments, decltype(count(kernel))());
}

// Runs blocks `first`, `first + step` and so on of a grid. `order` shuffles them, and which thread begins, and has
// threads yield here and there; with 0 all run in their order.
template <auto kernel> void launch(u32 grid, u32 first, u32 step, u64 order, void** arguments) {
    Launch launch{call<kernel>, arguments, grid, {}, std::vector<u32>(THREADS), order};
    for (u32 block = first; block < grid; block += step) launch.blocks.push_back(block);
    std::iota(launch.threads.begin(), launch.threads.end(), 0);
    if (order != 0) {
        std::mt19937_64 random(order);
        std::shuffle(launch.blocks.begin(), launch.blocks.end(), random);
        std::shuffle(launch.threads.begin(), launch.threads.end(), random);
    }
    Pool::instance().run(launch);
}

}  // namespace host

#define EXPORT(NAME) \
    extern "C" void host_##NAME(u32 grid, u32 first, u32 step, u64 order, void** arguments) { \
        host::launch<NAME>(grid, first, step, order, arguments); \
    }
