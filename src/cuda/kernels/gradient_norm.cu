// The norm of all gradients as one vector, in f64, and the factor that clipping by it asks for.
#include "tensors.h"

// Writes the sum of squares of each chunk. Gradients of another type have a launch for themselves, and parts beside.
template <typename T> DEVICE void squares_of_chunks(const T* const* gradients, Chunks chunks, double* parts) {
    for (u64 chunk = blockIdx.x; chunk < chunks.count; chunk += gridDim.x) {
        double sum = 0;
        for_chunk(chunks, chunk, [&](u32 tensor, u64 i) {
            double g = double(wide(gradients[tensor][i]));
            sum += g * g;
        });
        sum = block_sum(sum);
        if (threadIdx.x == 0) parts[chunk] = sum;
    }
}

// Writes the norm and the factor, min(max_norm / (norm + 1e-6), 1), which is 1 for a norm that is NaN. An infinite
// `max_norm` clips nothing.
DEVICE void norm_and_scale(const double* parts, double* result, u64 count, double max_norm) {
    double sum = 0;
    for (u64 i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    double norm = sqrt(block_sum(sum));
    if (blockIdx.x > 0 || threadIdx.x > 0) return;
    result[0] = norm;
    result[1] = isinf(max_norm) ? 1.0 : fmin(max_norm / (norm + 1e-6), 1.0);
}

KERNEL(gradient_norm, (const double* parts, double* result, u64 count, double max_norm),
       norm_and_scale(parts, result, count, max_norm))

#define KERNELS(SUFFIX, T) \
    KERNEL(squares_of_chunks_##SUFFIX, \
           (const T* const* gradients, const u64* lengths, const u32* tensors, const u64* starts, u64 count, \
            double* parts), \
           squares_of_chunks(gradients, {lengths, tensors, starts, count}, parts))
FOR_TYPES(KERNELS)
#undef KERNELS
