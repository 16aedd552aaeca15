// softmax(Q K' / sqrt d) V for one sequence. Templates over the simd_*.hpp files, and over the form
// of the products' numbers: floats, or pairs of int16 (operands.hpp).
//
// A head's keys are turned once, so that scores are products of the same kind as a linear layer's;
// then a few queries at a time: their scores, softmax, and the mix of the values.
#pragma once

#include <cstddef>
#include <limits>

#include "operands.hpp"

namespace secondpass {
namespace {

// out[ROWS, columns] = scales[row] * (a[ROWS, inputs] @ b[inputs, columns]), columns in whole
// vectors.
template <class S, int ROWS, int VECTORS = S::vectors, class Element>
void product(Left<Element> a, Right b, const float* scales, float* out, std::size_t out_stride) {
    const auto width = static_cast<std::size_t>(S::width);
    constexpr std::size_t step = static_cast<std::size_t>(VECTORS * S::width);
    std::size_t column = 0;
    for (; column + step <= b.columns; column += step) {
        typename Accumulator<S, Element>::Sums sums[ROWS][VECTORS];
        multiply<S, ROWS, VECTORS>(a.values, a.stride, b.values + column, b.stride, b.inputs, sums);
        SECONDPASS_UNROLL
        for (std::size_t row = 0; row < ROWS; ++row) {
            SECONDPASS_UNROLL
            for (std::size_t v = 0; v < VECTORS; ++v) {
                S::store(out + row * out_stride + column + v * width,
                         S::mul(Accumulator<S, Element>::floats(sums[row][v]),
                                S::set(scales[row])));
            }
        }
    }
    if constexpr (VECTORS > 1) {
        if (column < b.columns) {
            b.values += column;
            b.columns -= column;
            product<S, ROWS, VECTORS / 2>(a, b, scales, out + column, out_stride);
        }
    }
}

// 2^(x - the largest x) in place, 0 behind the last token; gives back their sum.
template <class S>
float powers(float* row, std::size_t tokens) {
    const auto width = static_cast<std::size_t>(S::width);
    const std::size_t whole = tokens / width * width;
    const int left = static_cast<int>(tokens - whole);
    // Scores that are all minus infinity make NaN, not equal weights.
    const auto least = S::set(-std::numeric_limits<float>::infinity());
    auto most = least;
    for (std::size_t i = 0; i < whole; i += width) {
        most = S::max(most, S::load(row + i));
    }
    if (left > 0) {
        most = S::max(most, S::keep(S::load(row + whole), left, least));
    }
    const auto largest = S::set(S::largest(most));
    auto sum = S::set(0.0F);
    for (std::size_t i = 0; i < whole; i += width) {
        const auto e = power_of_two<S>(S::sub(S::load(row + i), largest));
        sum = S::add(sum, e);
        S::store(row + i, e);
    }
    if (left > 0) {
        auto e = power_of_two<S>(S::sub(S::load(row + whole), largest));
        e = S::keep(e, left, S::set(0.0F));
        sum = S::add(sum, e);
        S::store(row + whole, e);
    }
    return S::sum(sum);
}

template <class S, class Form>
void attend(const AttentionCall& call) {
    Form form(call);
    const std::size_t padded = padded_tokens<S>(call.tokens);
    const float scale = call.scale * 1.44269504F;  // of scores as exponents of 2
    for (std::size_t head = 0; head < call.heads; ++head) {
        const std::size_t at = head * call.head_width;
        form.take_head(at);
        for (std::size_t first = 0; first < call.queries; first += S::rows) {
            with_rows<S>(call.queries - first, [&](auto count) {
                constexpr int rows = decltype(count)::value;
                float scales[rows];
                for (float& one : scales) {
                    one = form.score_scale() * scale;
                }
                product<S, rows>(form.queries(first, rows), form.keys(), scales, form.scores(),
                                 padded);
                for (std::size_t row = 0; row < rows; ++row) {
                    float* weights = form.scores() + row * padded;
                    scales[row] = form.weigh(weights, powers<S>(weights, call.tokens));
                }
                product<S, rows>(form.weights(), form.values(), scales,
                                 call.out + first * call.out_stride + at, call.out_stride);
            });
        }
    }
}

}  // namespace
}  // namespace secondpass
