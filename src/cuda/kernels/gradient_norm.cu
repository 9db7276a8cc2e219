// The sum of squares of each gradient, in f64: first of its chunks, then of those of each tensor.
#include "tensors.h"

// Writes the sum of squares of each chunk.
template <typename T>
DEVICE void squares_of_chunks(const T* const* gradients, Tensors tensors, double* parts) {
    for (u64 chunk = blockIdx.x; chunk < tensors.chunks; chunk += gridDim.x) {
        double sum = 0;
        for_chunk(tensors, chunk, [&](u64 tensor, u64 i) {
            double g = double(wide(gradients[tensor][i]));
            sum += g * g;
        });
        sum = block_sum(sum);
        if (threadIdx.x == 0) parts[chunk] = sum;
    }
}

// Writes the sum of the parts of each tensor, a tensor to a block.
DEVICE void add_parts(const double* parts, Tensors tensors, double* squares) {
    for (u64 tensor = blockIdx.x; tensor < tensors.count; tensor += gridDim.x) {
        u64 end = tensor + 1 < tensors.count ? tensors.chunks_before[tensor + 1] : tensors.chunks;
        double sum = 0;
        for (u64 i = tensors.chunks_before[tensor] + threadIdx.x; i < end; i += THREADS) sum += parts[i];
        sum = block_sum(sum);
        if (threadIdx.x == 0) squares[tensor] = sum;
    }
}

KERNEL(squares_of_tensors,
       (const double* parts, const u64* lengths, const u64* chunks_before, u64 count, u64 chunks, double* squares),
       add_parts(parts, {lengths, chunks_before, count, chunks}, squares))

#define KERNELS(SUFFIX, T) \
    KERNEL(squares_of_chunks_##SUFFIX, \
           (const T* const* gradients, const u64* lengths, const u64* chunks_before, u64 count, u64 chunks, \
            double* parts), \
           squares_of_chunks(gradients, {lengths, chunks_before, count, chunks}, parts))
FOR_TYPES(KERNELS)
#undef KERNELS
