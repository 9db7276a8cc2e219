// Rotary positions: in each head of `size` numbers, numbers i and i + size/2 turn by an angle. Its cosine and sine are
// in tables [context, size/2] that the host computes in f64. `sign` is 1, or -1 to turn back in the backward pass.
#include "common.h"

template <typename T>
DEVICE void rotary(const T* x, const Wide<T>* cosines, const Wide<T>* sines, T* y, u64 rows, u64 context, u64 width,
                   u64 size, double sign) {
    u64 half = size / 2, pairs = width / 2;
    for_each(rows * pairs, [=](u64 i) {
        u64 row = i / pairs, pair = i % pairs, angle = row % context * half + pair % half;
        u64 first = row * width + pair / half * size + pair % half;
        Wide<T> a = wide(x[first]), b = wide(x[first + half]);
        Wide<T> cosine = cosines[angle], sine = sines[angle] * Wide<T>(sign);
        y[first] = narrow<T>(a * cosine - b * sine);
        y[first + half] = narrow<T>(b * cosine + a * sine);
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(rotary_##SUFFIX, \
           (const T* x, const Wide<T>* cosines, const Wide<T>* sines, T* y, u64 rows, u64 context, u64 width, \
            u64 size, double sign), \
           rotary(x, cosines, sines, y, rows, context, width, size, sign))
FOR_TYPES(KERNELS)
#undef KERNELS
