// The end of a linear map or of a convolution, after its product: a bias for each channel, and perhaps a rectifier, in
// place. y is [rows, channels, plane], with a plane of 1 for a linear map.
#include "common.h"

template <bool RELU, typename T> DEVICE T with_bias(T y, T bias) {
    Wide<T> sum = wide(y) + wide(bias);
    return narrow<T>(RELU && sum <= 0 ? Wide<T>(0) : sum);
}

// A thread takes as many neighbours as 16 bytes hold, and so finds the channel by a division once for all of them.
template <bool RELU, typename T> DEVICE void add_bias(T* y, const T* bias, u64 count, u32 channels, u32 plane) {
    constexpr u32 TOGETHER = 16 / sizeof(T);
    for_each((count + TOGETHER - 1) / TOGETHER, [=](u64 pack) {
        u64 start = pack * TOGETHER;
        u32 channel = u32(start / plane % channels), place = u32(start % plane);
#pragma unroll
        for (u32 i = 0; i < TOGETHER; i++) {
            if (start + i < count) y[start + i] = with_bias<RELU>(y[start + i], bias[channel]);
            if (++place == plane) place = 0, channel = channel + 1 == channels ? 0 : channel + 1;
        }
    });
}

// The gradient that passes through a rectifier whose results are y; a NaN of y lets it pass.
template <typename T> DEVICE void through_relu(const T* y, const T* dy, T* dx, u64 count) {
    map(count, dx, [](Wide<T> y, Wide<T> dy) { return y <= 0 ? Wide<T>(0) : dy; }, y, dy);
}

#define KERNELS(SUFFIX, T) \
    KERNEL(bias_##SUFFIX, (T* y, const T* bias, u64 count, u32 channels, u32 plane), \
           add_bias<false>(y, bias, count, channels, plane)) \
    KERNEL(bias_relu_##SUFFIX, (T* y, const T* bias, u64 count, u32 channels, u32 plane), \
           add_bias<true>(y, bias, count, channels, plane)) \
    KERNEL(through_relu_##SUFFIX, (const T* y, const T* dy, T* dx, u64 count), through_relu(y, dy, dx, count))
FOR_TYPES(KERNELS)
#undef KERNELS
