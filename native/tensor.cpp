#include "tensor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace secondpass {
namespace {

float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Exponent and fraction moved to float32's place; the product mends the exponent's bias, also for
// subnormal numbers. Infinity and NaN have the largest exponent, which stays the largest.
float from_half(std::uint16_t half) {
    const std::uint32_t shifted = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
    const float size = from_bits(shifted) * 0x1p112F;
    const bool finite = (half & 0x7C00U) != 0x7C00U;
    const float value = finite ? size : from_bits(shifted | 0x7F800000U);
    return (half & 0x8000U) != 0 ? -value : value;
}

}  // namespace

void Tensor::read_row(std::size_t at, float* row) const {
    const std::size_t start = at * columns;
    switch (dtype) {
        case Dtype::f32:
            std::memcpy(row, static_cast<const float*>(data) + start, columns * sizeof(float));
            break;
        case Dtype::f16: {
            const auto* from = static_cast<const std::uint16_t*>(data) + start;
            for (std::size_t i = 0; i < columns; ++i) {
                row[i] = from_half(from[i]);
            }
            break;
        }
        case Dtype::bf16: {
            const auto* from = static_cast<const std::uint16_t*>(data) + start;
            for (std::size_t i = 0; i < columns; ++i) {
                row[i] = from_bits(static_cast<std::uint32_t>(from[i]) << 16);
            }
            break;
        }
        case Dtype::i8: {
            const auto* from = static_cast<const std::int8_t*>(data) + start;
            const float scale = scales[at];
            for (std::size_t i = 0; i < columns; ++i) {
                row[i] = static_cast<float>(from[i]) * scale;
            }
            break;
        }
        case Dtype::q4: {
            constexpr std::size_t half = q4_block / 2;
            const std::size_t blocks = columns / q4_block;
            const auto* from = static_cast<const std::uint8_t*>(data) + start / 2;
            for (std::size_t block = 0; block < blocks; ++block) {
                const float scale = from_half(block_scales[at * blocks + block]);
                for (std::size_t i = 0; i < half; ++i) {
                    const int byte = from[block * half + i];
                    row[block * q4_block + i] = static_cast<float>((byte & 15) - 8) * scale;
                    row[block * q4_block + half + i] = static_cast<float>((byte >> 4) - 8) * scale;
                }
            }
            break;
        }
    }
}

bool Tensor::has_finite_scales(std::size_t row) const {
    if (dtype == Dtype::i8) {
        return scales != nullptr && std::isfinite(scales[row]);
    }
    if (dtype != Dtype::q4) {
        return true;
    }
    if (block_scales == nullptr) {
        return false;
    }
    const std::size_t blocks = columns / q4_block;
    const std::uint16_t* first = block_scales + row * blocks;
    return std::all_of(first, first + blocks,
                       [](std::uint16_t half) { return (half & 0x7C00U) != 0x7C00U; });
}

const Tensor& find(const Tensors& tensors, const std::string& name, std::size_t rows,
                   std::size_t columns) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
        throw std::invalid_argument("the tensor " + name + " is missing");
    }
    const Tensor& tensor = found->second;
    if (tensor.rows != rows || tensor.columns != columns) {
        throw std::invalid_argument(
            "the tensor " + name + " has the shape (" + std::to_string(tensor.rows) + ", " +
            std::to_string(tensor.columns) + "); expected (" + std::to_string(rows) + ", " +
            std::to_string(columns) + ")");
    }
    for (std::size_t row = 0; row < rows; ++row) {
        if (!tensor.has_finite_scales(row)) {
            throw std::invalid_argument("the tensor " + name + ".scale is not finite at row " +
                                        std::to_string(row) + "; the checkpoint is damaged");
        }
    }
    return tensor;
}

}  // namespace secondpass
