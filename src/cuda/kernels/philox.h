// Philox4x32-10 and the mask of dropout: the same words for the same counters as src/rng.rs.
#pragma once

#include "common.h"

struct Words {
    u32 at[4];
};

DEVICE u32 high_product(u32 a, u32 b) { return u32(u64(a) * b >> 32); }

DEVICE Words philox4x32_10(Words counter, u32 key0, u32 key1) {
    u32 a = counter.at[0], b = counter.at[1], c = counter.at[2], d = counter.at[3];
#pragma unroll
    for (u32 round = 0; round < 10; round++) {
        if (round > 0) key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
        u32 high_a = high_product(0xD2511F53u, a), low_a = 0xD2511F53u * a;
        u32 high_c = high_product(0xCD9E8D57u, c), low_c = 0xCD9E8D57u * c;
        a = high_c ^ b ^ key0, b = low_c, c = high_a ^ d ^ key1, d = low_a;
    }
    return {{a, b, c, d}};
}

// Which elements are dropped, and what the others are multiplied with. A threshold of 0 drops none.
template <typename W> struct Mask {
    u32 key0, key1;
    u64 step;
    u32 threshold;
    W kept;

    // The words of elements 4 index to 4 index + 3.
    DEVICE Words words(u64 index) const {
        return philox4x32_10({{u32(index), u32(index >> 32), u32(step), u32(step >> 32)}}, key0, key1);
    }

    // A dropped element is 0 also where x is infinite.
    DEVICE W applied(W x, u32 word) const { return word < threshold ? W(0) : x * kept; }

    // The word of one element, by its number.
    DEVICE u32 word(u64 number) const {
        Words four = words(number / 4);
        // Not an index that is computed: that would put the words into memory.
        u32 low = number % 2 ? four.at[1] : four.at[0], high = number % 2 ? four.at[3] : four.at[2];
        return number % 4 < 2 ? low : high;
    }

    DEVICE W applied_at(W x, u64 number) const { return threshold == 0 ? x : applied(x, word(number)); }
};
