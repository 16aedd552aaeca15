// Matrix products: a tile of a few rows and one panel's columns at a time, its sums in registers.
// Templates over the simd_*.hpp files.
//
// Every sum runs over the inputs in order, in tiles of all heights alike.
#pragma once

#include <cstddef>
#include <type_traits>

#include "elementwise.hpp"
#include "kernels.hpp"

namespace secondpass {
namespace {

template <class S>
constexpr std::size_t panel_width = static_cast<std::size_t>(S::width * S::vectors);

// Calls `tile` with the number of rows as a constant: 1 to S::rows.
template <class S, int ROWS = S::rows, class Tile>
void with_rows(std::size_t rows, const Tile& tile) {
    if constexpr (ROWS > 1) {
        if (rows < static_cast<std::size_t>(ROWS)) {
            return with_rows<S, ROWS - 1>(rows, tile);
        }
    }
    tile(std::integral_constant<int, ROWS>{});
}

// sums = a[ROWS, inputs] @ b[inputs, VECTORS * width].
template <class S, int ROWS, int VECTORS>
inline void multiply(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
                     std::size_t inputs, typename S::Floats (&sums)[ROWS][VECTORS]) {
    SECONDPASS_UNROLL
    for (int row = 0; row < ROWS; ++row) {
        SECONDPASS_UNROLL
        for (int v = 0; v < VECTORS; ++v) {
            sums[row][v] = S::set(0.0F);
        }
    }
    for (std::size_t input = 0; input < inputs; ++input) {
        typename S::Floats columns[VECTORS];
        SECONDPASS_UNROLL
        for (int v = 0; v < VECTORS; ++v) {
            columns[v] = S::load(b + input * b_stride + static_cast<std::size_t>(v * S::width));
        }
        SECONDPASS_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            const auto x = S::set(a[static_cast<std::size_t>(row) * a_stride + input]);
            SECONDPASS_UNROLL
            for (int v = 0; v < VECTORS; ++v) {
                sums[row][v] = S::fma(x, columns[v], sums[row][v]);
            }
        }
    }
}

// The same for pairs of int16, which count as one input, exactly.
template <class S, int ROWS, int VECTORS>
inline void multiply(const std::int16_t* a, std::size_t a_stride, const float* b,
                     std::size_t b_stride, std::size_t inputs,
                     typename S::PairSums (&sums)[ROWS][VECTORS]) {
    SECONDPASS_UNROLL
    for (int row = 0; row < ROWS; ++row) {
        SECONDPASS_UNROLL
        for (int v = 0; v < VECTORS; ++v) {
            sums[row][v] = S::no_sums();
        }
    }
    for (std::size_t input = 0; input < inputs; ++input) {
        decltype(S::load_pairs(b)) columns[VECTORS];
        SECONDPASS_UNROLL
        for (int v = 0; v < VECTORS; ++v) {
            columns[v] = S::load_pairs(b + input * b_stride + static_cast<std::size_t>(v * S::width));
        }
        SECONDPASS_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            const auto pair =
                S::broadcast_pair(a + static_cast<std::size_t>(row) * a_stride + 2 * input);
            SECONDPASS_UNROLL
            for (int v = 0; v < VECTORS; ++v) {
                sums[row][v] = S::dot_pairs(sums[row][v], pair, columns[v]);
            }
        }
    }
}

// sums = offsets + levels @ panel, exact.
template <class S, int ROWS>
inline void multiply_levels(const typename S::Level* levels, const std::int8_t* panel,
                            const std::int32_t* offsets, std::size_t inputs,
                            typename S::Sums (&sums)[ROWS][S::vectors]) {
    constexpr auto group = static_cast<std::size_t>(S::group);
    constexpr auto bytes = static_cast<std::size_t>(S::width) * group;
    SECONDPASS_UNROLL
    for (int v = 0; v < S::vectors; ++v) {
        const auto start = S::load_sums(offsets + v * S::width);
        SECONDPASS_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            sums[row][v] = start;
        }
    }
    for (std::size_t input = 0; input < inputs; input += group) {
        decltype(S::load_weights(panel)) columns[S::vectors];
        SECONDPASS_UNROLL
        for (int v = 0; v < S::vectors; ++v) {
            columns[v] = S::load_weights(panel + static_cast<std::size_t>(v) * bytes);
        }
        panel += static_cast<std::size_t>(S::vectors) * bytes;
        SECONDPASS_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            const auto x = S::broadcast(levels + static_cast<std::size_t>(row) * inputs + input);
            SECONDPASS_UNROLL
            for (int v = 0; v < S::vectors; ++v) {
                sums[row][v] = S::dot(sums[row][v], x, columns[v]);
            }
        }
    }
}

// One tile's place in a call.
struct Place {
    std::size_t row, panel;
};

// Bias, then residual or activation, and out. The activation is a pass of its own over the tile,
// which the first-level cache holds: inlined, its constants would push the sums out of registers.
template <class S, int ROWS>
inline void finish(const LinearCall& call, Place place,
                   typename S::Floats (&values)[ROWS][S::vectors]) {
    constexpr auto width = static_cast<std::size_t>(S::width);
    const std::size_t column = (place.panel - call.first_panel) * panel_width<S>;
    const std::size_t at = place.row * call.out_stride + column;
    const float* bias = call.weights.bias + place.panel * panel_width<S>;
    SECONDPASS_UNROLL
    for (std::size_t row = 0; row < ROWS; ++row) {
        SECONDPASS_UNROLL
        for (std::size_t v = 0; v < S::vectors; ++v) {
            const std::size_t to = at + row * call.out_stride + v * width;
            auto value = S::add(values[row][v], S::load(bias + v * width));
            if (call.residual != nullptr) {
                value = S::add(value, S::load(call.residual + to));
            }
            S::store(call.out + to, value);
        }
    }
    if (call.activation == Activation::none) {
        return;
    }
    SECONDPASS_UNROLL
    for (std::size_t row = 0; row < ROWS; ++row) {
        SECONDPASS_UNROLL
        for (std::size_t v = 0; v < S::vectors; ++v) {
            float* to = call.out + at + row * call.out_stride + v * width;
            S::store(to, activated<S>(S::load(to), call.activation));
        }
    }
}

template <class S, int ROWS>
void tile_fp32(const LinearCall& call, Place place) {
    typename S::Floats sums[ROWS][S::vectors];
    const std::size_t inputs = call.weights.inputs;
    const float* panel = static_cast<const float*>(call.weights.values) +
                         place.panel * panel_width<S> * inputs;
    multiply<S, ROWS, S::vectors>(static_cast<const float*>(call.in) + place.row * inputs, inputs,
                                  panel, panel_width<S>, inputs, sums);
    finish<S, ROWS>(call, place, sums);
}

// values += extras of the rows @ their weights.
template <class S, int ROWS>
inline void add_extras(const LinearCall& call, Place place,
                       typename S::Floats (&values)[ROWS][S::vectors]) {
    const std::size_t extras = call.weights.extras;
    const float* columns = call.weights.extra + place.panel * panel_width<S>;
    for (std::size_t extra = 0; extra < extras; ++extra, columns += call.weights.outputs) {
        SECONDPASS_UNROLL
        for (int row = 0; row < ROWS; ++row) {
            const std::size_t at = (place.row + static_cast<std::size_t>(row)) * extras + extra;
            const auto x = S::set(call.in_extras[at]);
            SECONDPASS_UNROLL
            for (int v = 0; v < S::vectors; ++v) {
                values[row][v] = S::fma(x, S::load(columns + v * S::width), values[row][v]);
            }
        }
    }
}

template <class S, int ROWS>
void tile_int8(const LinearCall& call, Place place) {
    typename S::Sums sums[ROWS][S::vectors];
    const std::size_t inputs = call.weights.inputs;
    const std::size_t column = place.panel * panel_width<S>;
    const auto* levels = static_cast<const typename S::Level*>(call.in) + place.row * inputs;
    multiply_levels<S, ROWS>(levels,
                             static_cast<const std::int8_t*>(call.weights.values) + column * inputs,
                             call.weights.offsets + column, inputs, sums);
    typename S::Floats values[ROWS][S::vectors];
    SECONDPASS_UNROLL
    for (int row = 0; row < ROWS; ++row) {
        const auto in_scale = S::set(call.in_scales[place.row + static_cast<std::size_t>(row)]);
        SECONDPASS_UNROLL
        for (int v = 0; v < S::vectors; ++v) {
            const auto scale = S::load(call.weights.scales + column + v * S::width);
            values[row][v] = S::mul(S::to_floats(sums[row][v]), S::mul(scale, in_scale));
        }
    }
    add_extras<S, ROWS>(call, place, values);
    finish<S, ROWS>(call, place, values);
}

// A panel stays in the nearest cache while all rows pass by it.
template <class S>
void linear_fp32(const LinearCall& call) {
    for (std::size_t panel = call.first_panel; panel < call.end_panel; ++panel) {
        for (std::size_t row = 0; row < call.rows; row += S::rows) {
            with_rows<S>(call.rows - row, [&](auto rows) {
                tile_fp32<S, decltype(rows)::value>(call, Place{row, panel});
            });
        }
    }
}

template <class S>
void linear_int8(const LinearCall& call) {
    for (std::size_t panel = call.first_panel; panel < call.end_panel; ++panel) {
        for (std::size_t row = 0; row < call.rows; row += S::rows) {
            with_rows<S>(call.rows - row, [&](auto rows) {
                tile_int8<S, decltype(rows)::value>(call, Place{row, panel});
            });
        }
    }
}

}  // namespace
}  // namespace secondpass
