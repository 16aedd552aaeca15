#include "tensor.hpp"

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
    }
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
    for (std::size_t row = 0; tensor.dtype == Dtype::i8 && row < rows; ++row) {
        if (!std::isfinite(tensor.scales[row])) {
            throw std::invalid_argument("the tensor " + name + ".scale is not finite at row " +
                                        std::to_string(row) + "; the checkpoint is damaged");
        }
    }
    return tensor;
}

}  // namespace secondpass
