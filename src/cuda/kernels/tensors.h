// Many tensors in one launch: a table of pointers, cut into chunks of a fixed size.
#pragma once

#include "common.h"

// Elements of a chunk, a chunk to a block.
constexpr u64 CHUNK = 4096;

// `lengths` has the elements of each tensor; chunk c begins at element `starts[c]` of tensor `tensors[c]`.
struct Chunks {
    const u64* lengths;
    const u32* tensors;
    const u64* starts;
    u64 count;
};

// Calls f with the tensor and the place of each element of a chunk that this thread of a block takes.
template <typename F> DEVICE void for_chunk(Chunks chunks, u64 chunk, F f) {
    u32 tensor = chunks.tensors[chunk];
    u64 start = chunks.starts[chunk], length = chunks.lengths[tensor];
    u64 end = start + CHUNK < length ? start + CHUNK : length;
    for (u64 i = start + threadIdx.x; i < end; i += THREADS) f(tensor, i);
}

template <typename F> DEVICE void for_chunks(Chunks chunks, F f) {
    for (u64 chunk = blockIdx.x; chunk < chunks.count; chunk += gridDim.x) for_chunk(chunks, chunk, f);
}
