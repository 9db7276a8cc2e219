// Sums over rows in parts of a fixed number of them.
#pragma once

#include "common.h"

// Rows whose sum is one part.
constexpr u64 PART_ROWS = 64;

// Writes for each part and each of `width` columns the sum of f(row, column) over its rows, in order.
// `parts` is [rows / PART_ROWS, rounded up; width].
template <typename W, typename F> DEVICE void sum_parts(W* parts, u64 rows, u64 width, F f) {
    u64 count = (rows + PART_ROWS - 1) / PART_ROWS;
    for_each(count * width, [=](u64 i) {
        u64 first = i / width * PART_ROWS, end = first + PART_ROWS < rows ? first + PART_ROWS : rows;
        W sum = 0;
#pragma unroll 4
        for (u64 row = first; row < end; row++) sum += f(row, i % width);
        parts[i] = sum;
    });
}

// Calls f with the place in x [rows, channels, plane] of each number of a channel that this thread of a block takes.
template <typename F> DEVICE void for_channel(u64 rows, u64 channels, u64 plane, u64 channel, F f) {
    u64 count = rows * plane;
    for (u64 i = threadIdx.x; i < count; i += THREADS) f((i / plane * channels + channel) * plane + i % plane);
}
