// SGD, with momentum or without: the update of all tensors of a group in one launch.
//
// `decays` has 1 for a tensor whose weights decay, and 0 for one whose do not. `scale` is the factor of clipping, on
// the device. Moments are in the type of the computation, as on the CPU.
#include "tensors.h"

template <typename T>
DEVICE void sgd(T* const* weights, const T* const* gradients, const u32* decays, const double* scale, Chunks chunks,
                double lr, double decay) {
    typedef Wide<T> W;
    W factor = W(*scale);
    for_chunks(chunks, [=](u32 tensor, u64 i) {
        W p = wide(weights[tensor][i]), g = wide(gradients[tensor][i]) * factor;
        weights[tensor][i] = narrow<T>(p - W(lr) * (g + W(decays[tensor] ? decay : 0) * p));
    });
}

// `take` is 1 less the dampening, and 1 in the first update.
template <typename T>
DEVICE void sgd_momentum(T* const* weights, Wide<T>* const* momenta, const T* const* gradients, const u32* decays,
                         const double* scale, Chunks chunks, double lr, double decay, double momentum, double take,
                         u32 nesterov) {
    typedef Wide<T> W;
    W factor = W(*scale), keep = W(momentum);
    for_chunks(chunks, [=](u32 tensor, u64 i) {
        W p = wide(weights[tensor][i]);
        W g = wide(gradients[tensor][i]) * factor + W(decays[tensor] ? decay : 0) * p;
        W m = momenta[tensor][i] * keep + g * W(take);
        momenta[tensor][i] = m;
        weights[tensor][i] = narrow<T>(p - W(lr) * (nesterov ? g + keep * m : m));
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(sgd_##SUFFIX, \
           (T* const* weights, const T* const* gradients, const u32* decays, const double* scale, const u64* lengths, \
            const u32* tensors, const u64* starts, u64 count, double lr, double decay), \
           sgd(weights, gradients, decays, scale, {lengths, tensors, starts, count}, lr, decay)) \
    KERNEL(sgd_momentum_##SUFFIX, \
           (T* const* weights, Wide<T>* const* momenta, const T* const* gradients, const u32* decays, \
            const double* scale, const u64* lengths, const u32* tensors, const u64* starts, u64 count, double lr, \
            double decay, double momentum, double take, u32 nesterov), \
           sgd_momentum(weights, momenta, gradients, decays, scale, {lengths, tensors, starts, count}, lr, decay, \
                        momentum, take, nesterov))
FOR_TYPES(KERNELS)
#undef KERNELS
