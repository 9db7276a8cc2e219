// The probabilities of causal self-attention, between its two products: a row of scores, of one query, to a block.
//
// Scores and probabilities are [heads, context, context], with the query heads of all sequences as heads. Query t sees
// keys 0 to t, or those from the beginning of its document; for all others probabilities and gradients are 0. A mask
// with threshold 0 drops nothing.
#include "philox.h"
#include "softmax.h"

// Where the documents begin.
struct Documents {
    // The first key of each query [sequences, context]; null if each sequence is one document.
    const u32* first;
    // Query heads of a sequence.
    u64 heads;

    DEVICE u64 first_key(u64 row, u64 context) const {
        return first ? first[row / context / heads * context + row % context] : 0;
    }
};

// Writes 0 to the elements of a row before `begin` and from `end` on.
template <typename T> DEVICE void hide(T* row, u64 begin, u64 end, u64 context) {
    for (u64 i = threadIdx.x; i < begin; i += THREADS) row[i] = narrow<T>(0);
    for (u64 i = end + threadIdx.x; i < context; i += THREADS) row[i] = narrow<T>(0);
}

// Writes softmax(scale scores) to `probabilities`, which may be the scores, and the same with some dropped out to
// `dropped`, which may be null.
template <typename T>
DEVICE void causal_softmax_forward(const T* scores, T* probabilities, T* dropped, Documents documents, u64 heads,
                                   u64 context, double scale, Mask<Wide<T>> mask) {
    for (u64 row = blockIdx.x; row < heads * context; row += gridDim.x) {
        u64 start = row * context, begin = documents.first_key(row, context), end = row % context + 1;
        auto total = sum_of_exponentials(scores + start + begin, end - begin, Wide<T>(scale));
        softmax_of_row(scores + start + begin, probabilities + start + begin, end - begin, Wide<T>(scale), total);
        hide(probabilities + start, begin, end, context);
        if (!dropped) continue;
        for (u64 i = start + begin + threadIdx.x; i < start + end; i += THREADS) {
            // Its own thread has just written the probability.
            dropped[i] = narrow<T>(mask.applied_at(wide(probabilities[i]), i));
        }
        hide(dropped + start, begin, end, context);
    }
}

// Of the scores before they were scaled, from the gradient `dp` of the dropped-out probabilities:
// scale p (m dp - sum(p m dp)) with the mask m. `dscores` may be `dp`.
template <typename T>
DEVICE void causal_softmax_backward(const T* probabilities, const T* dp, T* dscores, Documents documents, u64 heads,
                                    u64 context, double scale, Mask<Wide<T>> mask) {
    for (u64 row = blockIdx.x; row < heads * context; row += gridDim.x) {
        u64 start = row * context, begin = start + documents.first_key(row, context), end = start + row % context + 1;
        Wide<T> sum = 0;
        for (u64 i = begin + threadIdx.x; i < end; i += THREADS) {
            sum += wide(probabilities[i]) * mask.applied_at(wide(dp[i]), i);
        }
        sum = block_sum(sum);
        for (u64 i = start + threadIdx.x; i < start + context; i += THREADS) {
            bool is_seen = begin <= i && i < end;
            Wide<T> d = is_seen ? wide(probabilities[i]) * (mask.applied_at(wide(dp[i]), i) - sum) : 0;
            dscores[i] = narrow<T>(d * Wide<T>(scale));
        }
    }
}

#define KERNELS(SUFFIX, T) \
    KERNEL(causal_softmax_forward_##SUFFIX, \
           (const T* scores, T* probabilities, T* dropped, const u32* first, u64 heads_of_sequence, u64 heads, \
            u64 context, double scale, u32 key0, u32 key1, u64 step, u32 threshold, double kept), \
           causal_softmax_forward(scores, probabilities, dropped, Documents{first, heads_of_sequence}, heads, context, \
                                  scale, Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)})) \
    KERNEL(causal_softmax_backward_##SUFFIX, \
           (const T* probabilities, const T* dp, T* dscores, const u32* first, u64 heads_of_sequence, u64 heads, \
            u64 context, double scale, u32 key0, u32 key1, u64 step, u32 threshold, double kept), \
           causal_softmax_backward(probabilities, dp, dscores, Documents{first, heads_of_sequence}, heads, context, \
                                   scale, Mask<Wide<T>>{key0, key1, step, threshold, Wide<T>(kept)}))
FOR_TYPES(KERNELS)
#undef KERNELS
