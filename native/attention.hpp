// softmax(Q K' / sqrt d) V for one sequence, in float32. Templates over the simd_*.hpp files.
//
// A head's keys are turned once, so that scores are products of the same kind as a linear layer's;
// then a few queries at a time: their scores, softmax, and the mix of the values.
#pragma once

#include <cstddef>

#include "gemm.hpp"

namespace secondpass {
namespace {

template <class S>
std::size_t padded_tokens(std::size_t tokens) {
    const auto width = static_cast<std::size_t>(S::width);
    return (tokens + width - 1) / width * width;
}

template <class S>
std::size_t attention_scratch(std::size_t tokens, std::size_t head_width) {
    return padded_tokens<S>(tokens) * (head_width + static_cast<std::size_t>(S::rows));
}

// keys[tokens, head] as turned[head, padded tokens], zeros behind the last token.
template <class S>
void turn_keys(const float* keys, const AttentionCall& call, float* turned) {
    const auto width = static_cast<std::size_t>(S::width);
    const std::size_t padded = padded_tokens<S>(call.tokens);
    const std::size_t whole = call.tokens / width * width;
    for (std::size_t token = 0; token < whole; token += width) {
        for (std::size_t d = 0; d < call.head_width; d += width) {
            S::transpose(keys + token * call.key_stride + d, call.key_stride,
                         turned + d * padded + token, padded);
        }
    }
    for (std::size_t token = whole; token < padded; ++token) {
        for (std::size_t d = 0; d < call.head_width; ++d) {
            turned[d * padded + token] =
                token < call.tokens ? keys[token * call.key_stride + d] : 0.0F;
        }
    }
}

// out[ROWS, columns] = a[ROWS, inputs] @ b[inputs, columns], columns in whole vectors.
template <class S, int ROWS, int VECTORS = S::vectors>
void product(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
             std::size_t inputs, float* out, std::size_t out_stride, std::size_t columns) {
    const auto width = static_cast<std::size_t>(S::width);
    constexpr std::size_t step = static_cast<std::size_t>(VECTORS * S::width);
    std::size_t column = 0;
    for (; column + step <= columns; column += step) {
        typename S::Floats sums[ROWS][VECTORS];
        multiply<S, ROWS, VECTORS>(a, a_stride, b + column, b_stride, inputs, sums);
        SECONDPASS_UNROLL
        for (std::size_t row = 0; row < ROWS; ++row) {
            SECONDPASS_UNROLL
            for (std::size_t v = 0; v < VECTORS; ++v) {
                S::store(out + row * out_stride + column + v * width, sums[row][v]);
            }
        }
    }
    if constexpr (VECTORS > 1) {
        if (column < columns) {
            product<S, ROWS, VECTORS / 2>(a, a_stride, b + column, b_stride, inputs, out + column,
                                          out_stride, columns - column);
        }
    }
}

// Softmax of `scale` times the row, in place; behind the last token it becomes 0.
template <class S>
void softmax(float* row, std::size_t tokens, float scale) {
    const auto width = static_cast<std::size_t>(S::width);
    const std::size_t whole = tokens / width * width;
    const int left = static_cast<int>(tokens - whole);
    const auto least = S::set(-3e38F);
    auto most = least;
    for (std::size_t i = 0; i < whole; i += width) {
        most = S::max(most, S::load(row + i));
    }
    if (left > 0) {
        most = S::max(most, S::keep(S::load(row + whole), left, least));
    }
    const auto factor = S::set(scale);
    const auto shift = S::set(-scale * S::largest(most));
    auto sum = S::set(0.0F);
    for (std::size_t i = 0; i < whole; i += width) {
        const auto e = exponential<S>(S::fma(S::load(row + i), factor, shift));
        sum = S::add(sum, e);
        S::store(row + i, e);
    }
    if (left > 0) {
        auto e = exponential<S>(S::fma(S::load(row + whole), factor, shift));
        e = S::keep(e, left, S::set(0.0F));
        sum = S::add(sum, e);
        S::store(row + whole, e);
    }
    const auto inverse = S::set(1.0F / S::sum(sum));
    for (std::size_t i = 0; i < tokens; i += width) {
        S::store(row + i, S::mul(S::load(row + i), inverse));
    }
}

template <class S>
void attend(const AttentionCall& call) {
    const std::size_t padded = padded_tokens<S>(call.tokens);
    float* turned = call.scratch;
    float* scores = turned + padded * call.head_width;
    for (std::size_t head = 0; head < call.heads; ++head) {
        const std::size_t at = head * call.head_width;
        turn_keys<S>(call.key + at, call, turned);
        for (std::size_t first = 0; first < call.queries; first += S::rows) {
            with_rows<S>(call.queries - first, [&](auto count) {
                constexpr int rows = decltype(count)::value;
                product<S, rows>(call.query + first * call.query_stride + at, call.query_stride,
                                 turned, padded, call.head_width, scores, padded, padded);
                for (std::size_t row = 0; row < rows; ++row) {
                    softmax<S>(scores + row * padded, call.tokens, call.scale);
                }
                product<S, rows>(scores, padded, call.value + at, call.key_stride, call.tokens,
                                 call.out + first * call.out_stride + at, call.out_stride,
                                 call.head_width);
            });
        }
    }
}

}  // namespace
}  // namespace secondpass
