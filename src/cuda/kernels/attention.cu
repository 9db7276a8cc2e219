// The probabilities of causal self-attention, between its two products: a row of scores, of one query, to a block.
//
// Scores and probabilities are [heads, context, context], with the query heads of all sequences as heads. Query t sees
// keys 0 to t; for those after it probabilities and gradients are 0. A mask with threshold 0 drops nothing.
#include "philox.h"
#include "softmax.h"

// Writes softmax(scale scores) to `probabilities`, which may be the scores, and the same with some dropped out to
// `dropped`, which may be null.
template <typename T>
DEVICE void causal_softmax_forward(const T* scores, T* probabilities, T* dropped, u64 heads, u64 context, double scale,
                                   Mask<Wide<T>> mask) {
    for (u64 row = blockIdx.x; row < heads * context; row += gridDim.x) {
        u64 start = row * context, visible = row % context + 1;
        auto total = sum_of_exponentials(scores + start, visible, Wide<T>(scale));
        softmax_of_row(scores + start, probabilities + start, visible, Wide<T>(scale), total);
        for (u64 i = visible + threadIdx.x; i < context; i += THREADS) probabilities[start + i] = narrow<T>(0);
        for (u64 i = threadIdx.x; dropped && i < context; i += THREADS) {
            // Its own thread has just written the probability.
            Wide<T> p = i < visible ? wide(probabilities[start + i]) : 0;
            dropped[start + i] = narrow<T>(mask.applied_at(p, start + i));
        }
    }
}

// Of the scores before they were scaled, from the gradient `dp` of the dropped-out probabilities:
// scale p (m dp - sum(p m dp)) with the mask m. `dscores` may be `dp`.
template <typename T>
DEVICE void causal_softmax_backward(const T* probabilities, const T* dp, T* dscores, u64 heads, u64 context,
                                    double scale, Mask<Wide<T>> mask) {
    for (u64 row = blockIdx.x; row < heads * context; row += gridDim.x) {
        u64 start = row * context, visible = row % context + 1;
        Wide<T> sum = 0;
        for (u64 i = start + threadIdx.x; i < start + visible; i += THREADS) {
            sum += wide(probabilities[i]) * mask.applied_at(wide(dp[i]), i);
        }
        sum = block_sum(sum);
        for (u64 i = start + threadIdx.x; i < start + context; i += THREADS) {
            Wide<T> d = i < start + visible ? wide(probabilities[i]) * (mask.applied_at(wide(dp[i]), i) - sum) : 0;
            dscores[i] = narrow<T>(d * Wide<T>(scale));
        }
    }
}

#define KERNELS(SUFFIX, T) \
    KERNEL(causal_softmax_forward_##SUFFIX, \
           (const T* scores, T* probabilities, T* dropped, u64 heads, u64 context, double scale, u32 key0, u32 key1, \
            u64 step, u32 threshold, double kept), \
           causal_softmax_forward(scores, probabilities, dropped, heads, context, scale, \
                                  Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)})) \
    KERNEL(causal_softmax_backward_##SUFFIX, \
           (const T* probabilities, const T* dp, T* dscores, u64 heads, u64 context, double scale, u32 key0, u32 key1, \
            u64 step, u32 threshold, double kept), \
           causal_softmax_backward(probabilities, dp, dscores, heads, context, scale, \
                                   Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)}))
FOR_TYPES(KERNELS)
#undef KERNELS
