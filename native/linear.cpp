#include "linear.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace secondpass {
namespace {

std::size_t round_up(std::size_t count, std::size_t step) {
    return (count + step - 1) / step * step;
}

// A sum of int32 holds this many products of the largest levels.
constexpr std::size_t most_inputs = 65536;

// The largest |weight|. Sizes compare as their bits do, and those of infinity and NaN come last.
float largest_of(const std::vector<float>& row) {
    std::int32_t largest = 0;
    for (const float weight : row) {
        std::int32_t bits;
        std::memcpy(&bits, &weight, sizeof bits);
        largest = std::max(largest, bits & 0x7FFFFFFF);
    }
    float size;
    std::memcpy(&size, &largest, sizeof size);
    if (!std::isfinite(size)) {
        throw std::invalid_argument("a weight is not finite; the checkpoint is damaged");
    }
    return size;
}

// The nearest whole number, the even one of two, of |x| < 2^22; without a call to the library.
float rounded(float x) { return (x + 12582912.0F) - 12582912.0F; }

template <class T>
void scatter(const T* from, const std::vector<std::size_t>& steps, T* to) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
        to[steps[i]] = from[i];
    }
}

}  // namespace

Axis plain_axis(std::size_t count, const Kernels& kernels) {
    return {count, count, count, round_up(count, kernels.panel)};
}

Axis heads_axis(std::size_t heads, std::size_t head, const Kernels& kernels) {
    const std::size_t padded_head = round_up(head, kernels.width);
    return {heads * head, head, padded_head, round_up(heads * padded_head, kernels.panel)};
}

Linear::Linear(std::size_t inputs, std::size_t outputs, Precision precision, const Kernels& kernels,
               const Outliers& outliers)
    : kernels_(&kernels),
      inputs_(inputs),
      outputs_(outputs),
      precision_(precision),
      outliers_(outliers) {
    bias_ = Buffer<float>(outputs);
    bias_.fill(0.0F);
    if (precision == Precision::fp32) {
        floats_ = Buffer<float>(inputs * outputs);
        floats_.fill(0.0F);
        return;
    }
    if (inputs > most_inputs) {
        throw std::invalid_argument("a layer of " + std::to_string(inputs) +
                                    " inputs is too wide for int8; choose precision fp32");
    }
    levels_ = Buffer<std::int8_t>(inputs * outputs);
    levels_.fill(0);
    scales_ = Buffer<float>(outputs);
    scales_.fill(0.0F);
    offsets_ = Buffer<std::int32_t>(outputs);
    offsets_.fill(0);
    shared_ = Buffer<float>(inputs);
    shared_.fill(1.0F);
    for (const std::uint32_t place : outliers_) {
        shared_[place] = 0.0F;
    }
    extra_ = Buffer<float>((outliers_.size() + 1) * outputs);
    extra_.fill(0.0F);
}

// weight[column] of input i is at start_of(column) + step_to(in.place(i)).
std::size_t Linear::start_of(std::size_t column) const {
    const std::size_t panel = kernels_->panel;
    return column / panel * inputs_ * panel + column % panel * group();
}

std::size_t Linear::step_to(std::size_t input) const {
    return input / group() * group() * kernels_->panel + input % group();
}

void Linear::set(const Tensor& weight, const Tensor& bias, const Axis& in, const Axis& out,
                 std::size_t first_output) {
    std::vector<float> row(std::max(in.count, out.count));
    bias.read_row(0, row.data());
    for (std::size_t at = 0; at < out.count; ++at) {
        bias_[first_output + out.place(at)] = row[at];
    }
    const Inputs inputs = inputs_of(in);
    row.resize(in.count);
    std::vector<std::int8_t> levels(in.count);
    for (std::size_t at = 0; at < out.count; ++at) {
        const std::size_t column = first_output + out.place(at);
        weight.read_row(at, row.data());
        const float largest = largest_of(row);
        if (precision_ == Precision::fp32) {
            scatter(row.data(), inputs.steps, floats_.data() + start_of(column));
        } else if (weight.dtype == Dtype::i8) {
            const auto* stored = static_cast<const std::int8_t*>(weight.data) + at * in.count;
            set_levels(column, stored, weight.scales[at], inputs, row.data());
        } else {
            const float scale = largest > 1e-30F ? largest / 127.0F : 1.0F;
            for (std::size_t i = 0; i < in.count; ++i) {
                levels[i] = static_cast<std::int8_t>(rounded(row[i] / scale));
            }
            set_levels(column, levels.data(), scale, inputs, row.data());
        }
    }
}

Linear::Inputs Linear::inputs_of(const Axis& in) const {
    Inputs inputs;
    for (std::size_t i = 0; i < in.count; ++i) {
        const std::size_t place = in.place(i);
        inputs.steps.push_back(step_to(place));
        if (precision_ == Precision::int8) {
            const auto found = std::find(outliers_.begin(), outliers_.end(), place);
            if (found != outliers_.end()) {
                inputs.outliers.push_back({i, static_cast<std::size_t>(found - outliers_.begin())});
            }
        }
    }
    return inputs;
}

// The levels of a column; of the outliers the weights themselves, in `row`.
void Linear::set_levels(std::size_t column, const std::int8_t* levels, float scale,
                        const Inputs& inputs, const float* row) {
    std::int8_t* start = levels_.data() + start_of(column);
    scatter(levels, inputs.steps, start);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < inputs.steps.size(); ++i) {
        sum += levels[i];
    }
    for (const auto& [input, extra] : inputs.outliers) {
        sum -= levels[input];
        start[inputs.steps[input]] = 0;
        extra_[extra * outputs_ + column] = row[input];
    }
    // The middle meets the rounded weights too: else what rounding changed would be multiplied by how
    // far an input is from the middle, and not by the input, which behind a gelu is mostly near zero.
    extra_[outliers_.size() * outputs_ + column] = scale * static_cast<float>(sum);
    scales_[column] = scale;
    offsets_[column] = -kernels_->zero_level * sum;
}

PackedWeights Linear::packed() const {
    const void* values = levels_.data();
    if (precision_ == Precision::fp32) {
        values = floats_.data();
    }
    const std::size_t extras = precision_ == Precision::int8 ? outliers_.size() + 1 : 0;
    return {values,   scales_.data(), offsets_.data(), bias_.data(),
            inputs_,  outputs_,       extra_.data(),   extras};
}

QuantiseCall Linear::quantising() const {
    return {nullptr, inputs_, shared_.data(), outliers_.data(), outliers_.size(), nullptr, nullptr};
}

}  // namespace secondpass
