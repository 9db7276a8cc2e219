// Batch normalization of x [rows, channels, plane]: sums over a channel are in f64, a channel to a block.
#include "sums.h"

DEVICE double inverse_deviation(double variance, double eps) { return 1 / sqrt(variance + eps); }

// Mean and variance of each channel, the latter around the former and over all values, and one over the deviation.
template <typename T>
DEVICE void batch_norm_statistics(const T* x, double* means, double* variances, double* inverses, u64 rows,
                                  u64 channels, u64 plane, double eps) {
    double count = double(rows * plane);
    for (u64 channel = blockIdx.x; channel < channels; channel += gridDim.x) {
        double sum = 0, squares = 0;
        for_channel(rows, channels, plane, channel, [&](u64 i) { sum += double(wide(x[i])); });
        double mean = block_sum(sum) / count;
        for_channel(rows, channels, plane, channel, [&](u64 i) {
            double off = double(wide(x[i])) - mean;
            squares += off * off;
        });
        double variance = block_sum(squares) / count;
        if (threadIdx.x > 0) continue;
        means[channel] = mean, variances[channel] = variance, inverses[channel] = inverse_deviation(variance, eps);
    }
}

// The same of the running statistics, which evaluation normalizes by.
template <typename T>
DEVICE void batch_norm_fixed(const T* running_mean, const T* running_variance, double* means, double* inverses,
                             u64 channels, double eps) {
    for_each(channels, [=](u64 i) {
        means[i] = double(wide(running_mean[i]));
        inverses[i] = inverse_deviation(double(wide(running_variance[i])), eps);
    });
}

// Moves the running statistics towards those of a batch of `count` values a channel, the variance unbiased.
template <typename T>
DEVICE void batch_norm_running(T* running_mean, T* running_variance, const double* means, const double* variances,
                               u64 channels, u64 count, double momentum) {
    auto moved = [=](T running, double found) { return double(wide(running)) * (1 - momentum) + found; };
    double unbiased = double(count) / (double(count) - 1);
    for_each(channels, [=](u64 i) {
        running_mean[i] = narrow<T>(Wide<T>(moved(running_mean[i], means[i] * momentum)));
        running_variance[i] = narrow<T>(Wide<T>(moved(running_variance[i], variances[i] * (momentum * unbiased))));
    });
}

// (x - mean) inverse weight + bias.
template <typename T>
DEVICE void batch_norm_forward(const T* x, const double* means, const double* inverses, const T* weight, const T* bias,
                               T* y, u64 count, u64 channels, u64 plane) {
    typedef Wide<T> W;
    for_each(count, [=](u64 i) {
        u64 channel = i / plane % channels;
        W scale = W(inverses[channel]) * wide(weight[channel]);
        y[i] = narrow<T>((wide(x[i]) - W(means[channel])) * scale + wide(bias[channel]));
    });
}

// The gradients of weight and bias, and in `sums` [channels, 2] what the input's takes: the sum of dy (x - mean) with
// the square of the inverse, and that of dy, each over the number of values.
template <typename T>
DEVICE void batch_norm_sums(const T* x, const T* dy, const double* means, const double* inverses, double* sums,
                            T* dweight, T* dbias, u64 rows, u64 channels, u64 plane) {
    double count = double(rows * plane);
    for (u64 channel = blockIdx.x; channel < channels; channel += gridDim.x) {
        double mean = means[channel], inverse = inverses[channel];
        Two<double> mine = {0, 0};
        for_channel(rows, channels, plane, channel, [&](u64 i) {
            double g = double(wide(dy[i]));
            mine = mine + Two<double>{g * (double(wide(x[i])) - mean), g};
        });
        mine = block_sum(mine);
        if (threadIdx.x > 0) continue;
        sums[2 * channel] = mine.first * inverse * inverse / count, sums[2 * channel + 1] = mine.second / count;
        dweight[channel] = narrow<T>(Wide<T>(mine.first * inverse));
        dbias[channel] = narrow<T>(Wide<T>(mine.second));
    }
}

// Where the statistics are those of the batch, what passes through them is subtracted: the mean of dy, and its share
// along x. With running statistics `sums` is null.
template <typename T>
DEVICE void batch_norm_backward(const T* x, const T* dy, const double* means, const double* inverses, const T* weight,
                                const double* sums, T* dx, u64 count, u64 channels, u64 plane) {
    typedef Wide<T> W;
    for_each(count, [=](u64 i) {
        u64 channel = i / plane % channels;
        W d = wide(dy[i]);
        if (sums) {
            W along_x = W(sums[2 * channel]), mean_dy = W(sums[2 * channel + 1]);
            d = d - mean_dy - (wide(x[i]) - W(means[channel])) * along_x;
        }
        dx[i] = narrow<T>(d * (W(inverses[channel]) * wide(weight[channel])));
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(batch_norm_statistics_##SUFFIX, \
           (const T* x, double* means, double* variances, double* inverses, u64 rows, u64 channels, u64 plane, \
            double eps), \
           batch_norm_statistics(x, means, variances, inverses, rows, channels, plane, eps)) \
    KERNEL(batch_norm_fixed_##SUFFIX, \
           (const T* running_mean, const T* running_variance, double* means, double* inverses, u64 channels, \
            double eps), \
           batch_norm_fixed(running_mean, running_variance, means, inverses, channels, eps)) \
    KERNEL(batch_norm_running_##SUFFIX, \
           (T* running_mean, T* running_variance, const double* means, const double* variances, u64 channels, \
            u64 count, double momentum), \
           batch_norm_running(running_mean, running_variance, means, variances, channels, count, momentum)) \
    KERNEL(batch_norm_forward_##SUFFIX, \
           (const T* x, const double* means, const double* inverses, const T* weight, const T* bias, T* y, u64 count, \
            u64 channels, u64 plane), \
           batch_norm_forward(x, means, inverses, weight, bias, y, count, channels, plane)) \
    KERNEL(batch_norm_sums_##SUFFIX, \
           (const T* x, const T* dy, const double* means, const double* inverses, double* sums, T* dweight, T* dbias, \
            u64 rows, u64 channels, u64 plane), \
           batch_norm_sums(x, dy, means, inverses, sums, dweight, dbias, rows, channels, plane)) \
    KERNEL(batch_norm_backward_##SUFFIX, \
           (const T* x, const T* dy, const double* means, const double* inverses, const T* weight, const double* sums, \
            T* dx, u64 count, u64 channels, u64 plane), \
           batch_norm_backward(x, dy, means, inverses, weight, sums, dx, count, channels, plane))
FOR_TYPES(KERNELS)
#undef KERNELS
