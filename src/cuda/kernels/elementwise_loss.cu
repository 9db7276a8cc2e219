// Losses that are means over elements: binary cross-entropy of logits, and the squared error.
#include "pointwise.h"

// Elements whose losses one block adds up.
constexpr u64 PART_ELEMENTS = 4096;

// Writes the sum of f over the elements of each part, [count / PART_ELEMENTS, rounded up]; `mean_of_parts` adds up the
// parts. Losses are computed as the type has it, and added up in f64.
template <typename T, typename F>
DEVICE void sum_losses(const T* outputs, const T* targets, double* parts, u64 count, F f) {
    for (u64 part = blockIdx.x; part * PART_ELEMENTS < count; part += gridDim.x) {
        double sum = 0;
        for (u64 i = threadIdx.x; i < PART_ELEMENTS; i += THREADS) {
            u64 at = part * PART_ELEMENTS + i;
            if (at < count) sum += double(f(wide(outputs[at]), wide(targets[at])));
        }
        sum = block_sum(sum);
        if (threadIdx.x == 0) parts[part] = sum;
    }
}

// A target t becomes t (1 - smoothing) + smoothing / 2.
template <typename T>
DEVICE void binary_cross_entropy_forward(const T* logits, const T* targets, double* parts, u64 count,
                                         double smoothing) {
    typedef Wide<T> W;
    W factor = W(1 - smoothing), summand = W(smoothing / 2);
    sum_losses(logits, targets, parts, count,
               [=](W x, W target) { return Softplus::value(x) - x * (target * factor + summand); });
}

// Either gradient may be null where nobody needs it.
template <typename T>
DEVICE void binary_cross_entropy_backward(const T* logits, const T* targets, const T* dloss, T* dlogits, T* dtargets,
                                          u64 count, double smoothing) {
    typedef Wide<T> W;
    W factor = W(1 - smoothing), summand = W(smoothing / 2), share = wide(*dloss) / W(count);
    auto of_logit = [=](W x, W target) { return (Softplus::derivative(x) - (target * factor + summand)) * share; };
    if (dlogits) map(count, dlogits, of_logit, logits, targets);
    if (dtargets) map(count, dtargets, [=](W x) { return -x * factor * share; }, logits);
}

template <typename T>
DEVICE void squared_error_forward(const T* outputs, const T* targets, double* parts, u64 count) {
    typedef Wide<T> W;
    sum_losses(outputs, targets, parts, count, [](W x, W target) { return (x - target) * (x - target); });
}

template <typename T>
DEVICE void squared_error_backward(const T* outputs, const T* targets, const T* dloss, T* doutputs, T* dtargets,
                                   u64 count) {
    typedef Wide<T> W;
    W factor = 2 * wide(*dloss) / W(count);
    if (doutputs) map(count, doutputs, [=](W x, W target) { return (x - target) * factor; }, outputs, targets);
    if (dtargets) map(count, dtargets, [=](W x, W target) { return (target - x) * factor; }, outputs, targets);
}

#define KERNELS(SUFFIX, T) \
    KERNEL(binary_cross_entropy_forward_##SUFFIX, \
           (const T* logits, const T* targets, double* parts, u64 count, double smoothing), \
           binary_cross_entropy_forward(logits, targets, parts, count, smoothing)) \
    KERNEL(binary_cross_entropy_backward_##SUFFIX, \
           (const T* logits, const T* targets, const T* dloss, T* dlogits, T* dtargets, u64 count, double smoothing), \
           binary_cross_entropy_backward(logits, targets, dloss, dlogits, dtargets, count, smoothing)) \
    KERNEL(squared_error_forward_##SUFFIX, (const T* outputs, const T* targets, double* parts, u64 count), \
           squared_error_forward(outputs, targets, parts, count)) \
    KERNEL(squared_error_backward_##SUFFIX, \
           (const T* outputs, const T* targets, const T* dloss, T* doutputs, T* dtargets, u64 count), \
           squared_error_backward(outputs, targets, dloss, doutputs, dtargets, count))
FOR_TYPES(KERNELS)
#undef KERNELS
