// Adam and AdamW: the update of all tensors of a group in one launch.
//
// Adam adds `decay` times the weights to the gradient, and has a `shrink` of 1; AdamW multiplies the weights with
// `shrink`, and has a `decay` of 0. `decays` has 1 for a tensor whose weights decay, and 0 for one whose do not.
// `scale` is the factor of clipping. `step_size` is the rate over 1 - beta1^n at update number n, from 1, and
// `root_correction` the root of 1 - beta2^n. Moments are in the type of the computation, as on the CPU.
#include "tensors.h"

struct Hyperparameters {
    double scale, step_size, root_correction, beta1, beta2, eps, shrink, decay;
};

template <typename T>
DEVICE void adam(T* const* weights, Wide<T>* const* means, Wide<T>* const* squares, const T* const* gradients,
                 const u64* decays, Tensors tensors, Hyperparameters h) {
    typedef Wide<T> W;
    W factor = W(h.scale), take1 = W(1 - h.beta1), take2 = W(1 - h.beta2);
    for_chunks(tensors, [=](u64 tensor, u64 i) {
        bool does_decay = decays[tensor];
        W p = wide(weights[tensor][i]), m = means[tensor][i], v = squares[tensor][i];
        W g = wide(gradients[tensor][i]) * factor + W(does_decay ? h.decay : 0) * p;
        m = m + take1 * (g - m);
        v = v * W(h.beta2) + take2 * g * g;
        means[tensor][i] = m, squares[tensor][i] = v;
        W denominator = sqrt(v) / W(h.root_correction) + W(h.eps);
        weights[tensor][i] = narrow<T>(p * W(does_decay ? h.shrink : 1) - W(h.step_size) * (m / denominator));
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(adam_##SUFFIX, \
           (T* const* weights, Wide<T>* const* means, Wide<T>* const* squares, const T* const* gradients, \
            const u64* decays, const u64* lengths, const u64* chunks_before, u64 count, u64 chunks, double scale, \
            double step_size, double root_correction, double beta1, double beta2, double eps, double shrink, \
            double decay), \
           adam(weights, means, squares, gradients, decays, {lengths, chunks_before, count, chunks}, \
                {scale, step_size, root_correction, beta1, beta2, eps, shrink, decay}))
FOR_TYPES(KERNELS)
#undef KERNELS
