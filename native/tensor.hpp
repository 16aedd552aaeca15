// A checkpoint's tensors as the file stores them, read row by row as float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace secondpass {

enum class Dtype { f32, f16, bf16, i8, q4 };

// Weights of a row that share a scale in q4: a byte of the block holds weight i in its lower half and
// weight i + 16 in its upper, each plus 8.
constexpr std::size_t q4_block = 32;

struct Tensor {
    const void* data = nullptr;
    Dtype dtype = Dtype::f32;
    std::size_t rows = 1;  // 1 for a vector
    std::size_t columns = 0;
    const float* scales = nullptr;      // one a row, for i8
    const std::uint16_t* block_scales = nullptr;  // float16, columns / 32 a row, for q4
    std::shared_ptr<const void> owner;  // keeps the data and the scales alive

    // row[columns] as float32.
    void read_row(std::size_t at, float* row) const;
    bool has_finite_scales(std::size_t row) const;
};

using Tensors = std::map<std::string, Tensor>;

// The tensor of this name, checked to have this shape and finite scales. Throws std::invalid_argument.
const Tensor& find(const Tensors& tensors, const std::string& name, std::size_t rows,
                   std::size_t columns);

}  // namespace secondpass
