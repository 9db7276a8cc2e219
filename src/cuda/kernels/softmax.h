// Sums of exponentials, which softmax, attention and cross-entropy share.
#pragma once

#include "common.h"

// The largest of some numbers, and the sum of the exponentials of what each is above it. One pass finds both.
template <typename W> struct Exponentials {
    W largest, sum;

    DEVICE static Exponentials none() { return {-W(INFINITY), 0}; }

    DEVICE void add(W x) {
        if (x > largest) {
            // `x - x` is NaN for infinity, as it is where the largest is known beforehand.
            sum = sum * exp(largest - x) + (x - x + 1);
            largest = x;
        } else if (x != -W(INFINITY)) {
            sum += exp(x - largest);
        }
    }

    DEVICE static Exponentials both(Exponentials a, Exponentials b) {
        if (b.sum == 0) return a;
        if (a.sum == 0) return b;
        if (b.largest > a.largest) return {b.largest, b.sum + a.sum * exp(a.largest - b.largest)};
        return {a.largest, a.sum + b.sum * exp(b.largest - a.largest)};
    }
};

// Of a row times `scale`, by a whole block.
template <typename T> DEVICE Exponentials<Wide<T>> sum_of_exponentials(const T* row, u64 width, Wide<T> scale) {
    typedef Exponentials<Wide<T>> E;
    E mine = E::none();
    for (u64 i = threadIdx.x; i < width; i += THREADS) mine.add(wide(row[i]) * scale);
    return block_fold(mine, [](E a, E b) { return E::both(a, b); });
}

// The softmax of a row times `scale`; `y` may be the row itself.
template <typename T>
DEVICE void softmax_of_row(const T* row, T* y, u64 width, Wide<T> scale, Exponentials<Wide<T>> total) {
    Wide<T> factor = 1 / total.sum;
    for (u64 i = threadIdx.x; i < width; i += THREADS) {
        y[i] = narrow<T>(exp(wide(row[i]) * scale - total.largest) * factor);
    }
}
