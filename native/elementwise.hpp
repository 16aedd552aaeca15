// What is done to each number of a row by itself: powers, activations, LayerNorm, quantising.
// Templates over the simd_*.hpp files.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels.hpp"

namespace secondpass {
namespace {

// 2^x to 2e-7 of itself, for x cut to [-126, 127]: 2^n 2^f with |f| <= 1/2, the polynomial fitted by
// least largest error. NaN stays NaN: max and min give back their second operand where it is one.
template <class S>
typename S::Floats power_of_two(typename S::Floats x) {
    x = S::min(S::set(127.0F), S::max(S::set(-126.0F), x));
    const auto n = S::round(x);
    const auto f = S::sub(x, n);
    auto p = S::fma(f, S::set(1.326472731e-3F), S::set(9.671512991e-3F));
    p = S::fma(p, f, S::set(5.550733581e-2F));
    p = S::fma(p, f, S::set(2.402224243e-1F));
    p = S::fma(p, f, S::set(6.931470037e-1F));
    p = S::fma(p, f, S::set(1.0F));
    return S::scale(p, n);
}

// x * sigmoid(argument), which silu, quick_gelu and the tanh form of gelu all are.
template <class S>
typename S::Floats gated(typename S::Floats x, typename S::Floats argument) {
    const auto e = power_of_two<S>(S::mul(argument, S::set(-1.44269504F)));
    return S::mul(x, S::reciprocal(S::add(S::set(1.0F), e)));
}

// max(x, 0) - |x| erfc(|x| / sqrt 2) / 2 with Abramowitz and Stegun's formula 7.1.26 (1.5e-7).
template <class S>
typename S::Floats gelu(typename S::Floats x) {
    const auto size = S::abs(x);
    const auto a = S::mul(size, S::set(0.70710678F));
    const auto t = S::reciprocal(S::fma(a, S::set(0.3275911F), S::set(1.0F)));
    auto p = S::fma(t, S::set(1.061405429F), S::set(-1.453152027F));
    p = S::fma(p, t, S::set(1.421413741F));
    p = S::fma(p, t, S::set(-0.284496736F));
    p = S::fma(p, t, S::set(0.254829592F));
    const auto e = power_of_two<S>(S::mul(S::mul(a, S::set(-1.44269504F)), a));
    const auto half_tail = S::mul(S::mul(S::mul(p, t), e), S::mul(size, S::set(0.5F)));
    return S::sub(S::max(S::set(0.0F), x), half_tail);
}

template <class S>
typename S::Floats gelu_tanh(typename S::Floats x) {
    // 0.5 (1 + tanh u) = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    const auto cubic = S::fma(S::mul(x, x), S::set(0.0713548163F), S::set(1.59576912F));
    return gated<S>(x, S::mul(x, cubic));
}

template <class S>
typename S::Floats activated(typename S::Floats x, Activation activation) {
    switch (activation) {
        case Activation::gelu: return gelu<S>(x);
        case Activation::gelu_tanh: return gelu_tanh<S>(x);
        case Activation::quick_gelu: return gated<S>(x, S::mul(x, S::set(1.702F)));
        case Activation::relu: return S::max(S::set(0.0F), x);
        case Activation::silu: return gated<S>(x, x);
        case Activation::none: break;
    }
    return x;
}

// LayerNorm (arXiv:1607.06450); the weights' padding is zero, and so the row's stays.
template <class S>
void normalise(const NormCall& call) {
    const auto width = static_cast<std::size_t>(S::width);
    const auto count = static_cast<float>(call.count);
    auto sum = S::set(0.0F);
    for (std::size_t i = 0; i < call.padded; i += width) {
        sum = S::add(sum, S::load(call.row + i));
    }
    const auto mean = S::set(S::sum(sum) / count);
    auto squares = S::set(0.0F);
    for (std::size_t i = 0; i < call.count; i += width) {
        const int left = static_cast<int>(call.count - i);
        auto apart = S::sub(S::load(call.row + i), mean);
        apart = left < S::width ? S::keep(apart, left, S::set(0.0F)) : apart;
        squares = S::fma(apart, apart, squares);
    }
    const auto factor = S::set(1.0F / ::sqrtf(S::sum(squares) / count + call.eps));
    for (std::size_t i = 0; i < call.padded; i += width) {
        const auto unit = S::mul(S::sub(S::load(call.row + i), mean), factor);
        S::store(call.row + i, S::fma(unit, S::load(call.weight + i), S::load(call.bias + i)));
    }
}

// Levels from -127 for the least to 127 for the largest number of the row, outliers aside. A row that
// is not finite gets the scale NaN, so that it cannot pass for a finite one.
template <class S>
float quantise(const QuantiseCall& call) {
    const auto width = static_cast<std::size_t>(S::width);
    const auto shared = [&](std::size_t i) {
        return S::mul(S::load(call.row + i), S::load(call.shared + i));
    };
    auto most = shared(0), least = most;
    auto nothing = S::set(0.0F);  // 0, or NaN once something is not finite
    for (std::size_t i = 0; i < call.padded; i += width) {
        const auto x = shared(i);
        most = S::max(most, x);
        least = S::min(least, x);
        nothing = S::fma(x, S::set(0.0F), nothing);
    }
    const float high = S::largest(most), low = -S::largest(S::sub(S::set(0.0F), least));
    const float middle = 0.5F * (high + low), reach = 0.5F * (high - low);
    const float poison = S::sum(nothing);
    const bool level = reach > 1e-30F && poison == 0.0F;  // below, 127 / reach would overflow
    const auto factor = S::set(level ? 127.0F / reach : 0.0F);
    const auto centre = S::set(middle);
    for (std::size_t i = 0; i < call.padded; i += width) {
        const auto x = level ? S::sub(shared(i), centre) : S::set(0.0F);
        S::store_levels(static_cast<typename S::Level*>(call.levels) + i,
                        S::round(S::mul(x, factor)));
    }
    for (std::size_t i = 0; i < call.outlier_count; ++i) {
        call.extras[i] = call.row[call.outliers[i]];
    }
    call.extras[call.outlier_count] = middle;
    return level ? reach / 127.0F : 1.0F + poison;
}

}  // namespace
}  // namespace secondpass
