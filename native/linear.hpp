// A linear layer's weights, laid out for the kernels when a model is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "tensor.hpp"

namespace secondpass {

enum class Precision { fp32, int8 };

// Where the numbers of an activation stand: in blocks (the heads) that are padded to whole vectors.
struct Axis {
    std::size_t count;         // numbers
    std::size_t block;         // numbers of a block
    std::size_t padded_block;  // room for a block
    std::size_t padded;        // room for all, whole panels

    std::size_t place(std::size_t at) const {
        return at / block * padded_block + at % block;
    }
};

Axis plain_axis(std::size_t count, const Kernels& kernels);
Axis heads_axis(std::size_t heads, std::size_t head, const Kernels& kernels);

using Outliers = std::vector<std::uint32_t>;

class Linear {
public:
    Linear() = default;
    // Zero weights from `inputs` to `outputs`, both padded. `outliers` are the places of inputs that
    // int8 leaves in float32.
    Linear(std::size_t inputs, std::size_t outputs, Precision precision, const Kernels& kernels,
           const Outliers& outliers = {});

    // Set the rows of a checkpoint's weight[out.count, in.count] and bias, `first_output` being the
    // column of its first row. int8 weights are taken as they are, others rounded to 127 levels of
    // their row's largest. Throws std::invalid_argument for weights that are not finite.
    void set(const Tensor& weight, const Tensor& bias, const Axis& in, const Axis& out,
             std::size_t first_output = 0);

    Precision precision() const { return precision_; }
    std::size_t outputs() const { return outputs_; }
    PackedWeights packed() const;
    // The call that quantises rows for this layer, but for the row.
    QuantiseCall quantising() const;

private:
    // Of a checkpoint's inputs: where their weights go, and which are outliers.
    struct Outlier {
        std::size_t input, extra;
    };
    struct Inputs {
        std::vector<std::size_t> steps;
        std::vector<Outlier> outliers;
    };
    Inputs inputs_of(const Axis& in) const;
    void set_levels(std::size_t column, const std::int8_t* levels, float scale,
                    const Inputs& inputs, const float* row);
    std::size_t group() const { return precision_ == Precision::int8 ? kernels_->group : 1; }
    std::size_t start_of(std::size_t column) const;
    std::size_t step_to(std::size_t input) const;

    const Kernels* kernels_ = nullptr;
    std::size_t inputs_ = 0, outputs_ = 0;
    Precision precision_ = Precision::fp32;
    Buffer<std::int8_t> levels_;
    Buffer<float> floats_, scales_, bias_;
    Buffer<float> shared_, extra_;  // see QuantiseCall and PackedWeights
    Outliers outliers_;
    Buffer<std::int32_t> offsets_;
};

}  // namespace secondpass
