// The sum of two tensors of one shape; y may be one of them. The gradient of both is that of the result.
#include "common.h"

template <typename T> DEVICE void add(const T* a, const T* b, T* y, u64 count) {
    map(count, y, [](Wide<T> a, Wide<T> b) { return a + b; }, a, b);
}

#define KERNELS(SUFFIX, T) KERNEL(add_##SUFFIX, (const T* a, const T* b, T* y, u64 count), add(a, b, y, count))
FOR_TYPES(KERNELS)
#undef KERNELS
