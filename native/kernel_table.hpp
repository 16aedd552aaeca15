// The table of one instruction set, made from its simd_*.hpp file.
#pragma once

#include "attention.hpp"
#include "gemm.hpp"

namespace secondpass {
namespace {

template <class S>
constexpr Kernels kernel_table(const char* name) {
    return Kernels{name,
                   static_cast<std::size_t>(S::width),
                   panel_width<S>,
                   static_cast<std::size_t>(S::group),
                   sizeof(typename S::Level),
                   S::zero_level,
                   linear_int8<S>,
                   linear_fp32<S>,
                   attend<S, PairOperands<S>>,
                   attend<S, FloatOperands<S>>,
                   attention_scratch<S>,
                   normalise<S>,
                   quantise<S>};
}

}  // namespace
}  // namespace secondpass
