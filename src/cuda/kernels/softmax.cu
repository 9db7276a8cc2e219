// Softmax over the last dimension: exp(x) / sum(exp(x)), a row to a block.
#include "softmax.h"

template <typename T> DEVICE void softmax_forward(const T* x, T* y, u64 rows, u64 width) {
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* from = x + row * width;
        auto total = sum_of_exponentials(from, width, Wide<T>(1));
        softmax_of_row(from, y + row * width, width, Wide<T>(1), total);
    }
}

// y (dy - sum(dy y))
template <typename T> DEVICE void softmax_backward(const T* y, const T* dy, T* dx, u64 rows, u64 width) {
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        u64 start = row * width;
        Wide<T> sum = 0;
        for (u64 i = threadIdx.x; i < width; i += THREADS) sum += wide(y[start + i]) * wide(dy[start + i]);
        sum = block_sum(sum);
        for (u64 i = threadIdx.x; i < width; i += THREADS) {
            dx[start + i] = narrow<T>(wide(y[start + i]) * (wide(dy[start + i]) - sum));
        }
    }
}

#define KERNELS(SUFFIX, T) \
    KERNEL(softmax_forward_##SUFFIX, (const T* x, T* y, u64 rows, u64 width), softmax_forward(x, y, rows, width)) \
    KERNEL(softmax_backward_##SUFFIX, (const T* y, const T* dy, T* dx, u64 rows, u64 width), \
           softmax_backward(y, dy, dx, rows, width))
FOR_TYPES(KERNELS)
#undef KERNELS
