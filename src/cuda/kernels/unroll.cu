// Images unrolled for a convolution as a product of matrices, and back.
//
// x is [images, channels, height, width], and unrolled [images, channels, kernel_height, kernel_width, out_height,
// out_width]: for each image and group of channels a matrix of a row for each weight, to be multiplied from the left
// with the group's weights [out / groups, weights]. That gives the group's part of the image's result.
#include "common.h"

struct Geometry {
    u64 images, channels, height, width, kernel_height, kernel_width, out_height, out_width, stride, padding;
};

template <typename T> DEVICE void im2col(const T* x, T* unrolled, Geometry g) {
    u64 positions = g.out_height * g.out_width, kernel = g.kernel_height * g.kernel_width;
    for_each(g.images * g.channels * kernel * positions, [=](u64 i) {
        u64 plane = i / positions / kernel, weight = i / positions % kernel, position = i % positions;
        // Rows and columns are counted from the padding's edge.
        u64 row = position / g.out_width * g.stride + weight / g.kernel_width;
        u64 column = position % g.out_width * g.stride + weight % g.kernel_width;
        bool inside = row >= g.padding && row < g.height + g.padding && column >= g.padding &&
                      column < g.width + g.padding;
        u64 from = (plane * g.height + row - g.padding) * g.width + column - g.padding;
        unrolled[i] = inside ? x[from] : narrow<T>(0);
    });
}

// The sum, for each number of an image, over the places where it was unrolled to, in the order of the kernel's weights.
template <typename T> DEVICE void col2im(const T* unrolled, T* x, Geometry g) {
    for_each(g.images * g.channels * g.height * g.width, [=](u64 i) {
        u64 plane = i / g.width / g.height, row = i / g.width % g.height + g.padding, column = i % g.width + g.padding;
        Wide<T> sum = 0;
        for (u64 ky = 0; ky < g.kernel_height && ky <= row; ky++) {
            u64 out_row = (row - ky) / g.stride;
            if ((row - ky) % g.stride != 0 || out_row >= g.out_height) continue;
            for (u64 kx = 0; kx < g.kernel_width && kx <= column; kx++) {
                u64 out_column = (column - kx) / g.stride;
                if ((column - kx) % g.stride != 0 || out_column >= g.out_width) continue;
                u64 weight = (plane * g.kernel_height + ky) * g.kernel_width + kx;
                sum += wide(unrolled[(weight * g.out_height + out_row) * g.out_width + out_column]);
            }
        }
        x[i] = narrow<T>(sum);
    });
}

#define PARAMETERS(T, FROM, TO) \
    (const T* FROM, T* TO, u64 images, u64 channels, u64 height, u64 width, u64 kernel_height, u64 kernel_width, \
     u64 out_height, u64 out_width, u64 stride, u64 padding)
#define SIZES \
    { images, channels, height, width, kernel_height, kernel_width, out_height, out_width, stride, padding }
#define KERNELS(SUFFIX, T) \
    KERNEL(im2col_##SUFFIX, PARAMETERS(T, x, unrolled), im2col(x, unrolled, SIZES)) \
    KERNEL(col2im_##SUFFIX, PARAMETERS(T, unrolled, x), col2im(unrolled, x, SIZES))
FOR_TYPES(KERNELS)
#undef KERNELS
#undef SIZES
#undef PARAMETERS
