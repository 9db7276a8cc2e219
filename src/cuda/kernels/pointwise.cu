// Functions of each element, with the derivatives that their gradients are multiplied by; and the product with a number,
// which is its own derivative.
#include "pointwise.h"

// With derivative 0 at 0. Written so that a NaN stays one.
struct Relu {
    template <typename W> DEVICE static W value(W x) { return x <= 0 ? W(0) : x; }
    template <typename W> DEVICE static W derivative(W x) { return x <= 0 ? W(0) : W(1); }
};

struct Tanh {
    template <typename W> DEVICE static W value(W x) { return tanh(x); }
    template <typename W> DEVICE static W derivative(W x) { return 1 - tanh(x) * tanh(x); }
};

// x times the distribution function of the standard normal distribution.
struct Gelu {
    template <typename W> DEVICE static W distribution(W x) { return W(0.5) * erfc(-x * W(0.70710678118654752)); }
    template <typename W> DEVICE static W value(W x) { return x * distribution(x); }
    template <typename W> DEVICE static W derivative(W x) {
        W density = exp(W(-0.5) * x * x) * W(0.39894228040143268);
        return distribution(x) + x * density;
    }
};

// x sigmoid(LINEAR x + CUBIC x^3), with twice the root of 2/pi, and that times 0.044715.
struct GeluTanh {
    static constexpr double LINEAR = 1.5957691216057307, CUBIC = 0.07135481627260025;
    template <typename W> DEVICE static W gate(W x) { return sigmoid(x * (W(LINEAR) + W(CUBIC) * x * x)); }
    template <typename W> DEVICE static W value(W x) { return x * gate(x); }
    template <typename W> DEVICE static W derivative(W x) {
        W s = gate(x);
        return s + x * s * (1 - s) * (W(LINEAR) + 3 * W(CUBIC) * x * x);
    }
};

template <typename F, typename T> DEVICE void forward(const T* x, T* y, u64 count) {
    map(count, y, [](Wide<T> x) { return F::value(x); }, x);
}

template <typename F, typename T> DEVICE void backward(const T* x, const T* dy, T* dx, u64 count) {
    map(count, dx, [](Wide<T> x, Wide<T> dy) { return dy * F::derivative(x); }, x, dy);
}

template <typename T> DEVICE void scaled(const T* x, T* y, u64 count, Wide<T> factor) {
    map(count, y, [=](Wide<T> x) { return x * factor; }, x);
}

#define POINTWISE(NAME, FUNCTION, SUFFIX, T) \
    KERNEL(NAME##_forward_##SUFFIX, (const T* x, T* y, u64 count), forward<FUNCTION>(x, y, count)) \
    KERNEL(NAME##_backward_##SUFFIX, (const T* x, const T* dy, T* dx, u64 count), \
           backward<FUNCTION>(x, dy, dx, count))
#define KERNELS(SUFFIX, T) \
    POINTWISE(relu, Relu, SUFFIX, T) \
    POINTWISE(tanh, Tanh, SUFFIX, T) \
    POINTWISE(softplus, Softplus, SUFFIX, T) \
    POINTWISE(gelu, Gelu, SUFFIX, T) \
    POINTWISE(gelu_tanh, GeluTanh, SUFFIX, T) \
    POINTWISE(silu, Silu, SUFFIX, T) \
    KERNEL(scaled_##SUFFIX, (const T* x, T* y, u64 count, double factor), scaled(x, y, count, Wide<T>(factor)))
FOR_TYPES(KERNELS)
#undef KERNELS
#undef POINTWISE
