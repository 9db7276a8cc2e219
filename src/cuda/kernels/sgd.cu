// SGD, with momentum or without: the update of all tensors of a group in one launch.
//
// `decays` has 1 for a tensor whose weights decay, and 0 for one whose do not. `scale` is the factor of clipping.
// Moments are in the type of the computation, as on the CPU.
#include "tensors.h"

template <typename T>
DEVICE void sgd(T* const* weights, const T* const* gradients, const u64* decays, Tensors tensors, double scale,
                double lr, double decay) {
    typedef Wide<T> W;
    for_chunks(tensors, [=](u64 tensor, u64 i) {
        W p = wide(weights[tensor][i]), g = wide(gradients[tensor][i]) * W(scale);
        weights[tensor][i] = narrow<T>(p - W(lr) * (g + W(decays[tensor] ? decay : 0) * p));
    });
}

// `take` is 1 less the dampening, and 1 in the first update.
template <typename T>
DEVICE void sgd_momentum(T* const* weights, Wide<T>* const* momenta, const T* const* gradients, const u64* decays,
                         Tensors tensors, double scale, double lr, double decay, double momentum, double take,
                         u32 nesterov) {
    typedef Wide<T> W;
    W keep = W(momentum);
    for_chunks(tensors, [=](u64 tensor, u64 i) {
        W p = wide(weights[tensor][i]);
        W g = wide(gradients[tensor][i]) * W(scale) + W(decays[tensor] ? decay : 0) * p;
        W m = momenta[tensor][i] * keep + g * W(take);
        momenta[tensor][i] = m;
        weights[tensor][i] = narrow<T>(p - W(lr) * (nesterov ? g + keep * m : m));
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(sgd_##SUFFIX, \
           (T* const* weights, const T* const* gradients, const u64* decays, const u64* lengths, \
            const u64* chunks_before, u64 count, u64 chunks, double scale, double lr, double decay), \
           sgd(weights, gradients, decays, {lengths, chunks_before, count, chunks}, scale, lr, decay)) \
    KERNEL(sgd_momentum_##SUFFIX, \
           (T* const* weights, Wide<T>* const* momenta, const T* const* gradients, const u64* decays, \
            const u64* lengths, const u64* chunks_before, u64 count, u64 chunks, double scale, double lr, \
            double decay, double momentum, double take, u32 nesterov), \
           sgd_momentum(weights, momenta, gradients, decays, {lengths, chunks_before, count, chunks}, scale, lr, \
                        decay, momentum, take, nesterov))
FOR_TYPES(KERNELS)
#undef KERNELS
