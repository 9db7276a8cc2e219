// Heads of attention, between their place side by side in a row of the model, [batch, context, stride] from `offset`
// on, and [batch, heads, context, size], which products take.
#include "common.h"

// Sizes of tensors of heads. Each head of keys serves `group` heads of queries.
struct Heads {
    u64 batch, context, heads, size, stride, offset, group;

    // Where number `i` of [batch, heads, context, size] is in a row of the model; `shared` heads lie there.
    DEVICE u64 in_row(u64 i) const {
        u64 column = i % size, position = i / size % context, head = i / size / context % heads;
        u64 sequence = i / size / context / heads;
        return (sequence * context + position) * stride + offset + head / group * size + column;
    }
};

// Each of the heads / group heads in a row is written `group` times.
template <typename T> DEVICE void split_heads(const T* rows, T* split, Heads sizes) {
    for_each(sizes.batch * sizes.heads * sizes.context * sizes.size, [=](u64 i) { split[i] = rows[sizes.in_row(i)]; });
}

// The other way: what lies in a row is the sum over the heads of its group, in order.
template <typename T> DEVICE void merge_heads(const T* split, T* rows, Heads sizes) {
    Heads shared = sizes;
    shared.heads = sizes.heads / sizes.group, shared.group = 1;
    u64 head = sizes.context * sizes.size;
    for_each(sizes.batch * shared.heads * head, [=](u64 i) {
        Wide<T> sum = 0;
        for (u64 member = 0; member < sizes.group; member++) {
            sum += wide(split[(i / head * sizes.group + member) * head + i % head]);
        }
        rows[shared.in_row(i)] = narrow<T>(sum);
    });
}

#define KERNELS(SUFFIX, T) \
    KERNEL(split_heads_##SUFFIX, \
           (const T* rows, T* split, u64 batch, u64 context, u64 heads, u64 size, u64 stride, u64 offset, u64 group), \
           split_heads(rows, split, {batch, context, heads, size, stride, offset, group})) \
    KERNEL(merge_heads_##SUFFIX, \
           (const T* split, T* rows, u64 batch, u64 context, u64 heads, u64 size, u64 stride, u64 offset, u64 group), \
           merge_heads(split, rows, {batch, context, heads, size, stride, offset, group}))
FOR_TYPES(KERNELS)
#undef KERNELS
