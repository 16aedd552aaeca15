// A checkpoint's tensors as the file stores them, read row by row as float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace secondpass {

enum class Dtype { f32, f16, bf16, i8 };

struct Tensor {
    const void* data = nullptr;
    Dtype dtype = Dtype::f32;
    std::size_t rows = 1;  // 1 for a vector
    std::size_t columns = 0;
    const float* scales = nullptr;      // one a row, for i8
    std::shared_ptr<const void> owner;  // keeps the data and the scales alive

    // row[columns] as float32.
    void read_row(std::size_t at, float* row) const;
};

using Tensors = std::map<std::string, Tensor>;

// The tensor of this name, checked to have this shape and finite scales. Throws std::invalid_argument.
const Tensor& find(const Tensors& tensors, const std::string& name, std::size_t rows,
                   std::size_t columns);

}  // namespace secondpass
