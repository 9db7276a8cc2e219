// Pooling of planes [height, width] to [out_height, out_width]: the largest number of each window, or the mean.
//
// Windows are pairs of a range of rows and one of columns, which the host gives as arrays of starts and ends: `rows`
// [out_height, 2] and `columns` [out_width, 2]. For the backward pass it gives, in `row_windows` [height, 2] and
// `column_windows` [width, 2], the range of windows that each row and column of the input is in.
#include "common.h"

struct Windows {
    const u32 *rows, *columns;
    u64 width, out_height, out_width;

    // One over the numbers of a window, or over `size` where that is not 0.
    template <typename W> DEVICE W share(u64 y, u64 x, u64 size) const {
        u64 numbers = u64(rows[2 * y + 1] - rows[2 * y]) * (columns[2 * x + 1] - columns[2 * x]);
        return 1 / W(size ? size : numbers);
    }
};

// A NaN is the largest of all: it must not vanish.
template <typename W> DEVICE bool is_larger(W x, W largest) { return x > largest || x != x; }

template <typename W> DEVICE bool is_same(W x, W y) { return x == y || (x != x && y != y); }

template <typename T> DEVICE void max_pool_forward(const T* x, T* y, u64 planes, u64 height, Windows windows) {
    u64 outputs = windows.out_height * windows.out_width;
    for_each(planes * outputs, [=](u64 i) {
        u64 out_row = i % outputs / windows.out_width, out_column = i % windows.out_width;
        u32 top = windows.rows[2 * out_row], left = windows.columns[2 * out_column];
        const T* plane = x + i / outputs * height * windows.width;
        Wide<T> largest = wide(plane[top * windows.width + left]);
        for (u32 row = top; row < windows.rows[2 * out_row + 1]; row++) {
            for (u32 column = left; column < windows.columns[2 * out_column + 1]; column++) {
                Wide<T> number = wide(plane[row * windows.width + column]);
                if (is_larger(number, largest)) largest = number;
            }
        }
        y[i] = narrow<T>(largest);
    });
}

// `size` divides each sum; 0 stands for the numbers that are in the window.
template <typename T>
DEVICE void avg_pool_forward(const T* x, T* y, u64 planes, u64 height, Windows windows, u64 size) {
    u64 outputs = windows.out_height * windows.out_width;
    for_each(planes * outputs, [=](u64 i) {
        u64 out_row = i % outputs / windows.out_width, out_column = i % windows.out_width;
        const T* plane = x + i / outputs * height * windows.width;
        Wide<T> sum = 0;
        for (u32 row = windows.rows[2 * out_row]; row < windows.rows[2 * out_row + 1]; row++) {
            u32 left = windows.columns[2 * out_column], right = windows.columns[2 * out_column + 1];
            for (u32 column = left; column < right; column++) {
                sum += wide(plane[row * windows.width + column]);
            }
        }
        y[i] = narrow<T>(sum * windows.share<Wide<T>>(out_row, out_column, size));
    });
}

// Adds up f over the windows that an element is in, row by row.
template <typename T, typename F>
DEVICE void sum_over_windows(T* dx, u64 planes, u64 height, u64 width, const u32* row_windows,
                             const u32* column_windows, F f) {
    for_each(planes * height * width, [=](u64 i) {
        u64 row = i / width % height, column = i % width;
        Wide<T> sum = 0;
        for (u32 y = row_windows[2 * row]; y < row_windows[2 * row + 1]; y++) {
            for (u32 x = column_windows[2 * column]; x < column_windows[2 * column + 1]; x++) {
                sum += f(i / width / height, row, column, y, x);
            }
        }
        dx[i] = narrow<T>(sum);
    });
}

// Of several largest numbers of a window the first has the gradient.
template <typename T>
DEVICE void max_pool_backward(const T* x, const T* y, const T* dy, T* dx, u64 planes, u64 height, Windows windows,
                              const u32* row_windows, const u32* column_windows) {
    u64 width = windows.width, outputs = windows.out_height * windows.out_width;
    auto of_window = [=](u64 plane, u64 row, u64 column, u32 out_row, u32 out_column) -> Wide<T> {
        const T* image = x + plane * height * width;
        u64 output = plane * outputs + out_row * windows.out_width + out_column;
        Wide<T> largest = wide(y[output]);
        if (!is_same(wide(image[row * width + column]), largest)) return 0;
        u32 left = windows.columns[2 * out_column], right = windows.columns[2 * out_column + 1];
        for (u64 earlier = windows.rows[2 * out_row]; earlier <= row; earlier++) {
            u64 end = earlier == row ? column : right;
            for (u64 i = left; i < end; i++) {
                if (is_same(wide(image[earlier * width + i]), largest)) return 0;
            }
        }
        return wide(dy[output]);
    };
    sum_over_windows(dx, planes, height, width, row_windows, column_windows, of_window);
}

template <typename T>
DEVICE void avg_pool_backward(const T* dy, T* dx, u64 planes, u64 height, Windows windows, const u32* row_windows,
                              const u32* column_windows, u64 size) {
    auto of_window = [=](u64 plane, u64, u64, u32 out_row, u32 out_column) -> Wide<T> {
        u64 output = (plane * windows.out_height + out_row) * windows.out_width + out_column;
        return wide(dy[output]) * windows.share<Wide<T>>(out_row, out_column, size);
    };
    sum_over_windows(dx, planes, height, windows.width, row_windows, column_windows, of_window);
}

#define KERNELS(SUFFIX, T) \
    KERNEL(max_pool_forward_##SUFFIX, \
           (const T* x, T* y, u64 planes, u64 height, u64 width, const u32* rows, const u32* columns, u64 out_height, \
            u64 out_width), \
           max_pool_forward(x, y, planes, height, {rows, columns, width, out_height, out_width})) \
    KERNEL(avg_pool_forward_##SUFFIX, \
           (const T* x, T* y, u64 planes, u64 height, u64 width, const u32* rows, const u32* columns, u64 out_height, \
            u64 out_width, u64 size), \
           avg_pool_forward(x, y, planes, height, {rows, columns, width, out_height, out_width}, size)) \
    KERNEL(max_pool_backward_##SUFFIX, \
           (const T* x, const T* y, const T* dy, T* dx, u64 planes, u64 height, u64 width, const u32* rows, \
            const u32* columns, u64 out_height, u64 out_width, const u32* row_windows, const u32* column_windows), \
           max_pool_backward(x, y, dy, dx, planes, height, {rows, columns, width, out_height, out_width}, row_windows, \
                             column_windows)) \
    KERNEL(avg_pool_backward_##SUFFIX, \
           (const T* dy, T* dx, u64 planes, u64 height, u64 width, const u32* rows, const u32* columns, \
            u64 out_height, u64 out_width, const u32* row_windows, const u32* column_windows, u64 size), \
           avg_pool_backward(dy, dx, planes, height, {rows, columns, width, out_height, out_width}, row_windows, \
                             column_windows, size))
FOR_TYPES(KERNELS)
#undef KERNELS
