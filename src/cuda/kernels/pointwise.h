// Functions of one number that more than one file uses.
#pragma once

#include "common.h"

template <typename W> DEVICE W sigmoid(W x) { return 1 / (1 + exp(-x)); }

// ln(1 + exp(x)), which neither overflows nor loses its tail.
struct Softplus {
    template <typename W> DEVICE static W value(W x) { return (x > 0 ? x : W(0)) + log1p(exp(-fabs(x))); }
    template <typename W> DEVICE static W derivative(W x) {
        W tail = exp(-fabs(x));
        return (x < 0 ? tail : W(1)) / (1 + tail);
    }
};

struct Silu {
    template <typename W> DEVICE static W value(W x) { return x * sigmoid(x); }
    template <typename W> DEVICE static W derivative(W x) {
        W s = sigmoid(x);
        return s + x * s * (1 - s);
    }
};
