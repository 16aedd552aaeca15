// What attention multiplies: queries by turned keys, and softmax's weights by values, as floats or
// as pairs of int16, of which an instruction takes twice as many. int16 holds so many levels that
// the result does not show it; int8 would.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gemm.hpp"

namespace secondpass {
namespace {

// The rows of a product's left side; a pair of int16 is one input.
template <class Element>
struct Left {
    const Element* values;
    std::size_t stride;
};

// Its right side, [inputs][columns]: floats, or pairs of int16 in the room of one.
struct Right {
    const float* values;
    std::size_t stride, inputs, columns;
};

// What such products sum up in.
template <class S, class Element>
struct Accumulator {
    using Sums = typename S::PairSums;
    static typename S::Floats floats(Sums sums) { return S::to_floats(sums); }
};
template <class S>
struct Accumulator<S, float> {
    using Sums = typename S::Floats;
    static typename S::Floats floats(Sums sums) { return sums; }
};

template <class S>
std::size_t padded_tokens(std::size_t tokens) {
    const auto width = static_cast<std::size_t>(S::width);
    return (tokens + width - 1) / width * width;
}

// Keys, values, scores and queries of a head.
template <class S>
std::size_t attention_scratch(std::size_t tokens, std::size_t head_width) {
    const std::size_t padded = padded_tokens<S>(tokens), rows = static_cast<std::size_t>(S::rows);
    return 2 * padded * head_width + rows * (padded + head_width);
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

template <class S>
class FloatOperands {
public:
    explicit FloatOperands(const AttentionCall& call)
        : call_(call),
          padded_(padded_tokens<S>(call.tokens)),
          keys_(call.scratch),
          scores_(keys_ + padded_ * call.head_width) {}

    void take_head(std::size_t at) {
        at_ = at;
        turn_keys<S>(call_.key + at, call_, keys_);
    }
    Left<float> queries(std::size_t first, std::size_t) const {
        return {call_.query + first * call_.query_stride + at_, call_.query_stride};
    }
    Right keys() const { return {keys_, padded_, call_.head_width, padded_}; }
    Right values() const {
        return {call_.value + at_, call_.key_stride, call_.tokens, call_.head_width};
    }
    float score_scale() const { return 1.0F; }
    float* scores() const { return scores_; }
    // What a row of softmax's weights is to be multiplied by, once it is mixed.
    float weigh(const float*, float sum) const { return 1.0F / sum; }
    Left<float> weights() const { return {scores_, padded_}; }

private:
    const AttentionCall& call_;
    std::size_t padded_, at_ = 0;
    float *keys_, *scores_;
};

// round(x * factor) are the levels of a block of numbers; times scale they are the numbers again.
struct Levels {
    float factor, scale;
};

// The levels of rows[count, columns] in -most..most; for numbers that are not finite the scale is
// NaN, so that they cannot pass for finite ones.
template <class S>
Levels levels_of(const float* rows, std::size_t stride, std::size_t count, std::size_t columns,
                 float most) {
    auto largest = S::set(1e-30F);  // most / this is finite
    auto nothing = S::set(0.0F);
    for (std::size_t row = 0; row < count; ++row) {
        for (std::size_t i = 0; i < columns; i += static_cast<std::size_t>(S::width)) {
            const auto x = S::load(rows + row * stride + i);
            largest = S::max(largest, S::abs(x));
            nothing = S::fma(x, S::set(0.0F), nothing);
        }
    }
    const float limit = S::largest(largest), poison = S::sum(nothing);
    return {poison == 0.0F ? most / limit : 0.0F, limit / most + poison};
}

template <class S>
class PairOperands {
public:
    explicit PairOperands(const AttentionCall& call)
        : call_(call),
          padded_(padded_tokens<S>(call.tokens)),
          // Sums of head_width products of two levels stay in int32.
          most_(std::min(16383.0F, 46000.0F / ::sqrtf(static_cast<float>(call.head_width)))),
          keys_(call.scratch),
          values_(keys_ + padded_ * call.head_width),
          scores_(values_ + padded_ * call.head_width),
          queries_(reinterpret_cast<std::int16_t*>(
              scores_ + static_cast<std::size_t>(S::rows) * padded_)) {}

    void take_head(std::size_t at) {
        at_ = at;
        const std::size_t columns = call_.head_width;
        query_ = levels_of<S>(call_.query + at, call_.query_stride, call_.queries, columns, most_);
        key_ = levels_of<S>(call_.key + at, call_.key_stride, call_.tokens, columns, most_);
        value_ = levels_of<S>(call_.value + at, call_.key_stride, call_.tokens, columns,
                              value_levels);
        turn_keys<S>(call_.key + at, call_, keys_);
        pair_rows(keys_, padded_, columns, key_.factor, keys_, padded_);
        pair_rows(call_.value + at, call_.key_stride, call_.tokens, value_.factor, values_, columns);
    }
    Left<std::int16_t> queries(std::size_t first, std::size_t rows) const {
        const std::size_t columns = call_.head_width;
        for (std::size_t row = 0; row < rows; ++row) {
            const float* from = call_.query + (first + row) * call_.query_stride + at_;
            store_levels(from, columns, query_.factor, queries_ + row * columns);
        }
        return {queries_, columns};
    }
    Right keys() const { return {keys_, padded_, call_.head_width / 2, padded_}; }
    Right values() const {
        return {values_, call_.head_width, (call_.tokens + 1) / 2, call_.head_width};
    }
    float score_scale() const { return query_.scale * key_.scale; }
    float* scores() const { return scores_; }
    // The weights become levels, in their own place, which sum to `weight_levels` at most but for
    // their rounding; a sum of 2^19 of them times a value's levels stays in int32.
    float weigh(float* row, float sum) const {
        const float factor = std::min(32767.0F, weight_levels / sum);
        store_levels(row, padded_, factor, reinterpret_cast<std::int16_t*>(row));
        return value_.scale / (factor * sum);
    }
    Left<std::int16_t> weights() const {
        return {reinterpret_cast<const std::int16_t*>(scores_), 2 * padded_};
    }

private:
    static constexpr float value_levels = 4095.0F;
    static constexpr float weight_levels = 262144.0F;

    static void store_levels(const float* from, std::size_t count, float factor, std::int16_t* to) {
        for (std::size_t i = 0; i < count; i += static_cast<std::size_t>(S::width)) {
            S::store_shorts(to + i, S::mul(S::load(from + i), S::set(factor)));
        }
    }

    // Rows 2 i and 2 i + 1 as pairs in row i, which may be where they came from.
    static void pair_rows(const float* from, std::size_t from_stride, std::size_t rows, float factor,
                          float* to, std::size_t to_stride) {
        for (std::size_t row = 0; row < rows; row += 2) {
            const float* low = from + row * from_stride;
            const float* high = low + from_stride;
            const auto last = S::set(row + 1 < rows ? factor : 0.0F);
            high = row + 1 < rows ? high : low;
            for (std::size_t i = 0; i < to_stride; i += static_cast<std::size_t>(S::width)) {
                S::store_pairs(to + row / 2 * to_stride + i,
                               S::mul(S::load(low + i), S::set(factor)),
                               S::mul(S::load(high + i), last));
            }
        }
    }

    const AttentionCall& call_;
    std::size_t padded_, at_ = 0;
    float most_;
    float *keys_, *values_, *scores_;
    std::int16_t* queries_;
    Levels query_{}, key_{}, value_{};
};

}  // namespace
}  // namespace secondpass
