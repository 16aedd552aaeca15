// The table of one instruction set, made from its simd_*.hpp file.
#pragma once

#include "attention.hpp"
#include "gemm.hpp"

namespace secondpass {
namespace {

// Attention of int8 models: pairs of int16 where they are quicker than floats.
template <class S, bool PAIRS>
struct Quick {
    using Operands = PairOperands<S>;
};
template <class S>
struct Quick<S, false> {
    using Operands = FloatOperands<S>;
};

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
                   attend<S, typename Quick<S, S::quick_pairs>::Operands>,
                   attend<S, FloatOperands<S>>,
                   attention_scratch<S>,
                   normalise<S>,
                   quantise<S>};
}

}  // namespace
}  // namespace secondpass
