// The table of kernels: what an instruction set has to offer to the model, and nothing else.
//
// Widths are padded to `panel` columns; padding holds zeros and stays zero through every kernel.
// Each kernel treats a row the same way wherever it stands: the order of its sums depends on the
// row's own length alone, so that a logit is the same to the last bit in any company.
#pragma once

#include <cstddef>
#include <cstdint>

// GCC unrolls short loops too late to keep the arrays that they run over in registers.
#if defined(__GNUC__)
#define SECONDPASS_UNROLL _Pragma("GCC unroll 16")
#else
#define SECONDPASS_UNROLL
#endif

namespace secondpass {

enum class Activation { none, gelu, gelu_tanh, quick_gelu, relu, silu };

// A linear layer's weights in panels: [panel][input / group][column][input % group].
struct PackedWeights {
    const void* values;           // int8 or float
    const float* scales;          // int8 only: one a column
    const std::int32_t* offsets;  // int8 only: where a column's sum starts
    const float* bias;
    std::size_t inputs, outputs;  // padded
    // int8 only: rows of weights in float32, [extras][outputs], see QuantiseCall.
    const float* extra;
    std::size_t extras;
};

// How a row of floats becomes levels: x = middle + scale * level, but for the outliers, which share
// no scale with the others. The products with the outliers and with the middle, the extras of a row,
// are computed in float32.
struct QuantiseCall {
    const float* row;
    std::size_t padded;
    const float* shared;  // 0 for an outlier, 1 for the others
    const std::uint32_t* outliers;
    std::size_t outlier_count;
    void* levels;
    float* extras;  // the outliers, then the middle
};

// out = activation(in @ weights + bias) or in @ weights + bias + residual, for some panels.
struct LinearCall {
    const void* in;          // levels or floats, a row each `inputs`
    const float* in_scales;  // int8 only: one a row
    const float* in_extras;  // int8 only: [rows][extras]
    std::size_t rows;
    PackedWeights weights;
    std::size_t first_panel, end_panel;
    float* out;  // column 0 is that of first_panel
    std::size_t out_stride;
    const float* residual;  // null for none; strided as out
    Activation activation;
};

// Attention of `queries` tokens over the `tokens` of one sequence, head by head.
struct AttentionCall {
    const float* query;
    std::size_t query_stride;
    const float* key;
    const float* value;
    std::size_t key_stride;  // of values too
    std::size_t queries, tokens;
    std::size_t heads, head_width;  // padded to whole vectors
    float scale;
    float* out;
    std::size_t out_stride;
    float* scratch;  // attention_scratch(tokens, head_width) floats
};

struct NormCall {
    float* row;  // in place
    std::size_t count, padded;
    const float* weight;
    const float* bias;
    float eps;
};

struct Kernels {
    const char* name;
    std::size_t width;        // floats a vector
    std::size_t panel;        // columns a panel
    std::size_t group;        // see PackedWeights, for int8
    std::size_t level_bytes;  // of a quantised activation
    int zero_level;           // the level that stands for 0

    void (*linear_int8)(const LinearCall&);
    void (*linear_fp32)(const LinearCall&);
    void (*attend_int8)(const AttentionCall&);  // of int8 models; for up to 2^19 tokens
    void (*attend_fp32)(const AttentionCall&);
    std::size_t (*attention_scratch)(std::size_t tokens, std::size_t head_width);
    void (*normalise)(const NormCall&);
    // Levels in -127..127 and extras; returns the scale that takes the levels back.
    float (*quantise)(const QuantiseCall&);
};

}  // namespace secondpass
