// Rows of a table by number, and the gradients of a table and of positions.
//
// For the backward pass `embedding_order` sorts the places of a batch by the row that they read. The program sets the
// gradient's table to zeros, and `embedding_backward` writes the rows that were read.
#include "common.h"

// `positions` may be null. A number that is not below `rows` gives NaN: the host checks numbers before it uploads them,
// and no kernel reads beside the table.
template <typename T>
DEVICE void embedding_forward(const T* table, const T* positions, const u32* ids, T* y, u64 count, u64 context,
                              u64 rows, u64 width) {
    for_each(count * width, [=](u64 i) {
        u64 place = i / width, column = i % width, id = ids[place];
        Wide<T> value = id < rows ? wide(table[id * width + column]) : not_a_number();
        if (positions) value += wide(positions[place % context * width + column]);
        y[i] = narrow<T>(value);
    });
}

// Writes to `order` the numbers of all places, sorted by id and, for one id, by place: each place's rank is the count
// of those before it. That is quadratic in `count`, and for the tokens of one batch soon done.
DEVICE void order_by_id(const u32* ids, u32* order, u64 count) {
    for_each(count, [=](u64 place) {
        u32 id = ids[place];
        u64 rank = 0;
        for (u64 i = 0; i < count; i++) rank += ids[i] < id || (ids[i] == id && i < place);
        order[rank] = u32(place);
    });
}

// A block for each place in the order that is the first with its id; it adds up those that follow, in order.
template <typename T>
DEVICE void embedding_backward(const T* dy, const u32* ids, const u32* order, T* dtable, u64 count, u64 rows,
                               u64 width) {
    for (u64 first = blockIdx.x; first < count; first += gridDim.x) {
        u32 id = ids[order[first]];
        if (id >= rows || (first > 0 && ids[order[first - 1]] == id)) continue;
        for (u64 column = threadIdx.x; column < width; column += THREADS) {
            Wide<T> sum = 0;
            for (u64 i = first; i < count && ids[order[i]] == id; i++) sum += wide(dy[order[i] * width + column]);
            dtable[id * width + column] = narrow<T>(sum);
        }
    }
}

// The sum over the batch for each of `rows` positions, and zeros from `context` on.
template <typename T>
DEVICE void positions_backward(const T* dy, T* dpositions, u64 batch, u64 context, u64 rows, u64 width) {
    for_each(rows * width, [=](u64 i) {
        Wide<T> sum = 0;
        for (u64 sequence = 0; i < context * width && sequence < batch; sequence++) {
            sum += wide(dy[sequence * context * width + i]);
        }
        dpositions[i] = narrow<T>(sum);
    });
}

KERNEL(embedding_order, (const u32* ids, u32* order, u64 count), order_by_id(ids, order, count))

#define KERNELS(SUFFIX, T) \
    KERNEL(embedding_forward_##SUFFIX, \
           (const T* table, const T* positions, const u32* ids, T* y, u64 count, u64 context, u64 rows, u64 width), \
           embedding_forward(table, positions, ids, y, count, context, rows, width)) \
    KERNEL(embedding_backward_##SUFFIX, \
           (const T* dy, const u32* ids, const u32* order, T* dtable, u64 count, u64 rows, u64 width), \
           embedding_backward(dy, ids, order, dtable, count, rows, width)) \
    KERNEL(positions_backward_##SUFFIX, (const T* dy, T* dpositions, u64 batch, u64 context, u64 rows, u64 width), \
           positions_backward(dy, dpositions, batch, context, rows, width))
FOR_TYPES(KERNELS)
#undef KERNELS
