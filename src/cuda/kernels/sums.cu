// Sums over rows, such as the gradient of a bias: of the rows of each part first, and then of the parts.
#include "sums.h"

template <typename T> DEVICE void row_parts(const T* x, Wide<T>* parts, u64 rows, u64 width) {
    sum_parts(parts, rows, width, [=](u64 row, u64 column) { return wide(x[row * width + column]); });
}

// Of x [rows, channels, plane] for each channel, a block for each.
template <typename T> DEVICE void channel_sums(const T* x, T* sums, u64 rows, u64 channels, u64 plane) {
    for (u64 channel = blockIdx.x; channel < channels; channel += gridDim.x) {
        double sum = 0;
        for_channel(rows, channels, plane, channel, [&](u64 i) { sum += double(wide(x[i])); });
        sum = block_sum(sum);
        if (threadIdx.x == 0) sums[channel] = narrow<T>(Wide<T>(sum));
    }
}

// One thread of the first warp for each of 32 columns, and 8 threads that share its parts.
template <typename T> DEVICE void total_of_parts(const Wide<T>* parts, T* sums, u64 count, u64 width) {
    constexpr u32 COLUMNS = 32, LANES = THREADS / COLUMNS;
    __shared__ Wide<T> lanes[THREADS];
    u32 lane = threadIdx.x / COLUMNS;
    for (u64 start = u64(blockIdx.x) * COLUMNS; start < width; start += u64(gridDim.x) * COLUMNS) {
        u64 column = start + threadIdx.x % COLUMNS;
        Wide<T> sum = 0;
        for (u64 part = lane; column < width && part < count; part += LANES) sum += parts[part * width + column];
        lanes[threadIdx.x] = sum;
        __syncthreads();
        if (lane == 0 && column < width) {
            for (u32 i = 1; i < LANES; i++) sum += lanes[threadIdx.x + i * COLUMNS];
            sums[column] = narrow<T>(sum);
        }
        __syncthreads();
    }
}

#define KERNELS(SUFFIX, T) \
    KERNEL(row_parts_##SUFFIX, (const T* x, Wide<T>* parts, u64 rows, u64 width), row_parts(x, parts, rows, width)) \
    KERNEL(total_of_parts_##SUFFIX, (const Wide<T>* parts, T* sums, u64 count, u64 width), \
           total_of_parts(parts, sums, count, width)) \
    KERNEL(channel_sums_##SUFFIX, (const T* x, T* sums, u64 rows, u64 channels, u64 plane), \
           channel_sums(x, sums, rows, channels, plane))
FOR_TYPES(KERNELS)
#undef KERNELS

// Writes the sum of parts that were added up in f64, divided by `divisor`: the mean of a loss.
template <typename T> DEVICE void mean_of_parts(const double* parts, T* mean, u64 count, double divisor) {
    double sum = 0;
    for (u64 i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    sum = block_sum(sum);
    if (blockIdx.x == 0 && threadIdx.x == 0) *mean = narrow<T>(Wide<T>(sum / divisor));
}

#define KERNELS(SUFFIX, T) \
    KERNEL(mean_of_parts_##SUFFIX, (const double* parts, T* mean, u64 count, double divisor), \
           mean_of_parts(parts, mean, count, divisor))
FOR_TYPES(KERNELS)
#undef KERNELS
