// silu(gate) * up.
#include "pointwise.h"

template <typename T> DEVICE void swiglu_forward(const T* gate, const T* up, T* y, u64 count) {
    map(count, y, [](Wide<T> gate, Wide<T> up) { return Silu::value(gate) * up; }, gate, up);
}

// Either gradient may be null where nobody needs it.
template <typename T>
DEVICE void swiglu_backward(const T* gate, const T* up, const T* dy, T* dgate, T* dup, u64 count) {
    auto of_gate = [](Wide<T> gate, Wide<T> up, Wide<T> dy) { return dy * Silu::derivative(gate) * up; };
    if (dgate) map(count, dgate, of_gate, gate, up, dy);
    if (dup) map(count, dup, [](Wide<T> gate, Wide<T> dy) { return dy * Silu::value(gate); }, gate, dy);
}

#define KERNELS(SUFFIX, T) \
    KERNEL(swiglu_forward_##SUFFIX, (const T* gate, const T* up, T* y, u64 count), swiglu_forward(gate, up, y, count)) \
    KERNEL(swiglu_backward_##SUFFIX, (const T* gate, const T* up, const T* dy, T* dgate, T* dup, u64 count), \
           swiglu_backward(gate, up, dy, dgate, dup, count))
FOR_TYPES(KERNELS)
#undef KERNELS
