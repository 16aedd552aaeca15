#include "linear.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace secondpass {
namespace {

std::size_t round_up(std::size_t count, std::size_t step) {
    return (count + step - 1) / step * step;
}

// A sum of int32 holds this many products of the largest levels.
constexpr std::size_t most_inputs = 65536;

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

std::size_t Linear::index(std::size_t input, std::size_t column) const {
    const std::size_t group = precision_ == Precision::int8 ? kernels_->group : 1;
    const std::size_t panel = kernels_->panel;
    return (column / panel * inputs_ + input / group * group) * panel + column % panel * group +
           input % group;
}

void Linear::set(const Tensor& weight, const Tensor& bias, const Axis& in, const Axis& out,
                 std::size_t first_output) {
    std::vector<float> row(std::max(in.count, out.count));
    bias.read_row(0, row.data());
    for (std::size_t at = 0; at < out.count; ++at) {
        bias_[first_output + out.place(at)] = row[at];
    }
    std::vector<std::int8_t> levels(in.count);
    for (std::size_t at = 0; at < out.count; ++at) {
        const std::size_t column = first_output + out.place(at);
        weight.read_row(at, row.data());
        if (precision_ == Precision::int8) {
            set_extras(column, row, in);
        }
        if (precision_ == Precision::int8 && weight.dtype == Dtype::i8) {
            const auto* stored = static_cast<const std::int8_t*>(weight.data) + at * in.count;
            set_levels(column, stored, weight.scales[at], in);
            continue;
        }
        float largest = 0.0F;
        for (std::size_t i = 0; i < in.count; ++i) {
            if (!std::isfinite(row[i])) {
                throw std::invalid_argument("a weight is not finite; the checkpoint is damaged");
            }
            largest = std::max(largest, std::fabs(row[i]));
        }
        if (precision_ == Precision::fp32) {
            for (std::size_t i = 0; i < in.count; ++i) {
                floats_[index(in.place(i), column)] = row[i];
            }
            continue;
        }
        const float scale = largest > 1e-30F ? largest / 127.0F : 1.0F;
        for (std::size_t i = 0; i < in.count; ++i) {
            levels[i] = static_cast<std::int8_t>(std::lrint(row[i] / scale));
        }
        set_levels(column, levels.data(), scale, in);
    }
}

void Linear::set_levels(std::size_t column, const std::int8_t* levels, float scale, const Axis& in) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < in.count; ++i) {
        levels_[index(in.place(i), column)] = levels[i];
        sum += levels[i];
    }
    for (const std::uint32_t place : outliers_) {
        std::int8_t& level = levels_[index(place, column)];
        sum -= level;
        level = 0;
    }
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

// The weights of the outliers as they are; for the middle, the sum of all the others.
void Linear::set_extras(std::size_t column, const std::vector<float>& row, const Axis& in) {
    float sum = 0.0F;
    for (std::size_t i = 0; i < in.count; ++i) {
        sum += shared_[in.place(i)] * row[i];
    }
    extra_[outliers_.size() * outputs_ + column] = sum;
    for (std::size_t i = 0; i < in.count; ++i) {
        const auto found = std::find(outliers_.begin(), outliers_.end(), in.place(i));
        if (found != outliers_.end()) {
            extra_[static_cast<std::size_t>(found - outliers_.begin()) * outputs_ + column] = row[i];
        }
    }
}

}  // namespace secondpass
