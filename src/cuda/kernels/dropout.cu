// Dropout, and stochastic depth, which drops whole rows: elements whose word is below `threshold` become 0, the others are multiplied with `kept`. The backward pass
// is the same for the gradient. Key, step, threshold and factor are those of `Mask` in src/ops/dropout.rs.
#include "philox.h"

// Four elements share a block of words.
template <typename T> DEVICE void dropout(const T* x, T* y, u64 count, Mask<Wide<T>> mask) {
    for_each((count + 3) / 4, [=](u64 index) {
        Words words = mask.words(index);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u64 at = index * 4 + i;
            if (at < count) y[at] = narrow<T>(mask.applied(wide(x[at]), words.at[i]));
        }
    });
}

// Rows of `length` elements, each by the word of its number. A thread takes elements of one row, side by side with its
// neighbours, for one word.
template <typename T> DEVICE void drop_path(const T* x, T* y, u64 rows, u64 length, Mask<Wide<T>> mask) {
    constexpr u64 TOGETHER = 16;
    u64 threads = (length + TOGETHER - 1) / TOGETHER;
    for_each(rows * threads, [=](u64 index) {
        u64 row = index / threads, start = row * length;
        u32 word = mask.word(row);
        for (u64 i = index % threads; i < length; i += threads) {
            y[start + i] = narrow<T>(mask.applied(wide(x[start + i]), word));
        }
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(dropout_##SUFFIX, \
           (const T* x, T* y, u64 count, u32 key0, u32 key1, u64 step, u32 threshold, double kept), \
           dropout(x, y, count, Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)})) \
    KERNEL(drop_path_##SUFFIX, \
           (const T* x, T* y, u64 rows, u64 length, u32 key0, u32 key1, u64 step, u32 threshold, double kept), \
           drop_path(x, y, rows, length, Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)}))
FOR_TYPES(KERNELS)
#undef KERNELS
