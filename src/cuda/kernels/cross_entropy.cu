// Cross-entropy of rows of logits against classes, a row to a block.
#include "softmax.h"

// Writes the loss of each row; `mean_of_parts` makes their mean. A class that there is not gives NaN: the host checks
// classes before it uploads them, and no kernel reads beside a row.
template <typename T>
DEVICE void cross_entropy_forward(const T* logits, const u32* targets, double* losses, u64 rows, u64 classes,
                                  double smoothing) {
    typedef Wide<T> W;
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* x = logits + row * classes;
        auto total = sum_of_exponentials(x, classes, W(1));
        W log_sum = log(total.sum), target = targets[row] < classes ? wide(x[targets[row]]) : not_a_number();
        W loss = (total.largest - target) + log_sum;
        if (smoothing != 0) {
            W below = 0;
            for (u64 i = threadIdx.x; i < classes; i += THREADS) below += total.largest - wide(x[i]);
            W mean = block_sum(below) / W(classes) + log_sum;
            loss += W(smoothing) * (mean - loss);
        }
        if (threadIdx.x == 0) losses[row] = loss;
    }
}

// Probabilities less the target's distribution, times the gradient of the mean over the number of rows.
template <typename T>
DEVICE void cross_entropy_backward(const T* logits, const u32* targets, const T* dloss, T* dlogits, u64 rows,
                                   u64 classes, double smoothing) {
    typedef Wide<T> W;
    W scale = wide(*dloss) / W(rows), uniform = scale * W(smoothing / double(classes));
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* x = logits + row * classes;
        auto total = sum_of_exponentials(x, classes, W(1));
        W factor = targets[row] < classes ? scale / total.sum : W(not_a_number());
        for (u64 i = threadIdx.x; i < classes; i += THREADS) {
            W d = exp(wide(x[i]) - total.largest) * factor - uniform;
            if (i == targets[row]) d -= scale * W(1 - smoothing);
            dlogits[row * classes + i] = narrow<T>(d);
        }
    }
}

#define KERNELS(SUFFIX, T) \
    KERNEL(cross_entropy_forward_##SUFFIX, \
           (const T* logits, const u32* targets, double* losses, u64 rows, u64 classes, double smoothing), \
           cross_entropy_forward(logits, targets, losses, rows, classes, smoothing)) \
    KERNEL(cross_entropy_backward_##SUFFIX, \
           (const T* logits, const u32* targets, const T* dloss, T* dlogits, u64 rows, u64 classes, double smoothing), \
           cross_entropy_backward(logits, targets, dloss, dlogits, rows, classes, smoothing))
FOR_TYPES(KERNELS)
#undef KERNELS
