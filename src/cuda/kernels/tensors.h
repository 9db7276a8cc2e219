// Many tensors in one launch: tables with a pointer and a length of each, cut into chunks of a fixed size.
#pragma once

#include "common.h"

// Elements of a chunk, a chunk to a block.
constexpr u64 CHUNK = 4096;

// Of each of `count` tensors: its elements, and the chunks of all tensors before it. There are `chunks` in all.
struct Tensors {
    const u64* lengths;
    const u64* chunks_before;
    u64 count, chunks;
};

// The tensor that a chunk is of: the last one with no more chunks before it.
DEVICE u64 tensor_of(Tensors tensors, u64 chunk) {
    u64 low = 0, high = tensors.count;
    while (high - low > 1) {
        u64 middle = low + (high - low) / 2;
        if (tensors.chunks_before[middle] <= chunk) low = middle; else high = middle;
    }
    return low;
}

// Calls f with the tensor and the place of each element of a chunk that this thread of a block takes.
template <typename F> DEVICE void for_chunk(Tensors tensors, u64 chunk, F f) {
    u64 tensor = tensor_of(tensors, chunk), start = (chunk - tensors.chunks_before[tensor]) * CHUNK;
    u64 length = tensors.lengths[tensor], end = start + CHUNK < length ? start + CHUNK : length;
    for (u64 i = start + threadIdx.x; i < end; i += THREADS) f(tensor, i);
}

template <typename F> DEVICE void for_chunks(Tensors tensors, F f) {
    for (u64 chunk = blockIdx.x; chunk < tensors.chunks; chunk += gridDim.x) for_chunk(tensors, chunk, f);
}
