// What kernels ought to give, in double precision and as the formulas have it.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels.hpp"

namespace secondpass {

using Floats = std::vector<float>;

inline double exact_activation(Activation activation, double x) {
    switch (activation) {
        case Activation::gelu: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
        case Activation::gelu_tanh:
            return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / std::acos(-1.0)) *
                                       (x + 0.044715 * x * x * x)));
        case Activation::quick_gelu: return x / (1.0 + std::exp(-1.702 * x));
        case Activation::relu: return x > 0.0 ? x : 0.0;
        case Activation::silu: return x / (1.0 + std::exp(-x));
        case Activation::none: break;
    }
    return x;
}

struct Heads {
    std::size_t tokens, heads, head;
};

// softmax(Q K' / 2) V of queries, keys and values, each in[tokens, heads * head].
inline Floats exact_attention(const Floats& in, const Heads& of) {
    const std::size_t width = of.heads * of.head, part = of.tokens * width;
    Floats out(part);
    std::vector<double> weights(of.tokens);
    for (std::size_t at = 0; at < part; ++at) {
        const std::size_t query = at / width * width, first = at % width / of.head * of.head;
        double sum = 0.0, mixed = 0.0;
        for (std::size_t token = 0; token < of.tokens; ++token) {
            double score = 0.0;
            for (std::size_t i = first; i < first + of.head; ++i) {
                score += double{in[query + i]} * in[part + token * width + i];
            }
            weights[token] = std::exp(0.5 * score);
            sum += weights[token];
            mixed += weights[token] * in[2 * part + token * width + at % width];
        }
        out[at] = static_cast<float>(mixed / sum);
    }
    return out;
}

}  // namespace secondpass
