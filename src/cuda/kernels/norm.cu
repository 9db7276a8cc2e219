// Layer norm and RMS norm over the last dimension, a row to a block.
#include "sums.h"

// A row's mean, or 0 where it is not taken out, and one over its deviation.
template <typename W> struct Statistics {
    W mean, inverse;
};

template <bool CENTERED, typename T> DEVICE Statistics<Wide<T>> statistics(const T* row, u64 width, double eps) {
    typedef Wide<T> W;
    W mean = 0;
    if (CENTERED) {
        for (u64 i = threadIdx.x; i < width; i += THREADS) mean += wide(row[i]);
        mean = block_sum(mean) / W(width);
    }
    W squares = 0;
    for (u64 i = threadIdx.x; i < width; i += THREADS) squares += (wide(row[i]) - mean) * (wide(row[i]) - mean);
    return {mean, 1 / sqrt(block_sum(squares) / W(width) + W(eps))};
}

// `bias` may be null.
template <bool CENTERED, typename T>
DEVICE void norm_forward(const T* x, const T* weight, const T* bias, T* y, u64 rows, u64 width, double eps) {
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* from = x + row * width;
        auto [mean, inverse] = statistics<CENTERED>(from, width, eps);
        for (u64 i = threadIdx.x; i < width; i += THREADS) {
            Wide<T> scaled = (wide(from[i]) - mean) * inverse * wide(weight[i]);
            y[row * width + i] = narrow<T>(bias ? scaled + wide(bias[i]) : scaled);
        }
    }
}

// With n = (x - mean) inverse and h = dy weight: inverse (h - mean(h) - n mean(h n)), without mean(h) where no mean was
// taken out. The statistics of each row are computed again, and written for `norm_parts`.
template <bool CENTERED, typename T>
DEVICE void norm_backward(const T* x, const T* weight, const T* dy, T* dx, Wide<T>* means, Wide<T>* inverses, u64 rows,
                          u64 width, double eps) {
    typedef Wide<T> W;
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        u64 start = row * width;
        auto [mean, inverse] = statistics<CENTERED>(x + start, width, eps);
        Two<W> sums = {0, 0};
        for (u64 i = threadIdx.x; i < width; i += THREADS) {
            W h = wide(dy[start + i]) * wide(weight[i]);
            sums = sums + Two<W>{h, h * ((wide(x[start + i]) - mean) * inverse)};
        }
        sums = block_sum(sums);
        W mean_h = CENTERED ? sums.first / W(width) : 0, mean_hn = sums.second / W(width);
        for (u64 i = threadIdx.x; i < width; i += THREADS) {
            W h = wide(dy[start + i]) * wide(weight[i]), n = (wide(x[start + i]) - mean) * inverse;
            dx[start + i] = narrow<T>(inverse * (h - mean_h - n * mean_hn));
        }
        if (threadIdx.x == 0) means[row] = mean, inverses[row] = inverse;
    }
}

// Parts of the gradients of weight and bias, which `total_of_parts` adds up; those of the bias may be null.
template <typename T>
DEVICE void norm_parts(const T* x, const T* dy, const Wide<T>* means, const Wide<T>* inverses, Wide<T>* of_weight,
                       Wide<T>* of_bias, u64 rows, u64 width) {
    sum_parts(of_weight, rows, width, [=](u64 row, u64 column) {
        u64 i = row * width + column;
        return wide(dy[i]) * ((wide(x[i]) - means[row]) * inverses[row]);
    });
    if (of_bias) sum_parts(of_bias, rows, width, [=](u64 row, u64 i) { return wide(dy[row * width + i]); });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(layer_norm_forward_##SUFFIX, \
           (const T* x, const T* weight, const T* bias, T* y, u64 rows, u64 width, double eps), \
           norm_forward<true>(x, weight, bias, y, rows, width, eps)) \
    KERNEL(layer_norm_backward_##SUFFIX, \
           (const T* x, const T* weight, const T* dy, T* dx, Wide<T>* means, Wide<T>* inverses, u64 rows, u64 width, \
            double eps), \
           norm_backward<true>(x, weight, dy, dx, means, inverses, rows, width, eps)) \
    KERNEL(rms_norm_forward_##SUFFIX, (const T* x, const T* weight, T* y, u64 rows, u64 width, double eps), \
           norm_forward<false, T>(x, weight, nullptr, y, rows, width, eps)) \
    KERNEL(rms_norm_backward_##SUFFIX, \
           (const T* x, const T* weight, const T* dy, T* dx, Wide<T>* means, Wide<T>* inverses, u64 rows, u64 width, \
            double eps), \
           norm_backward<false>(x, weight, dy, dx, means, inverses, rows, width, eps)) \
    KERNEL(norm_parts_##SUFFIX, \
           (const T* x, const T* dy, const Wide<T>* means, const Wide<T>* inverses, Wide<T>* of_weight, \
            Wide<T>* of_bias, u64 rows, u64 width), \
           norm_parts(x, dy, means, inverses, of_weight, of_bias, rows, width))
FOR_TYPES(KERNELS)
#undef KERNELS
