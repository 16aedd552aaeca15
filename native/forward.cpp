// The forward pass of one pack: rows laid end to end, no padding between them.
//
//   embed -> layer x (n - 1) -> last layer, of the tokens that the head reads -> head
//
// A pack is computed by one thread from end to end, so nothing waits inside a layer.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model.hpp"
#include "pooling.hpp"

namespace secondpass {
namespace {

// Rows of the feed-forward network at a time: its wide activation should stay in a core's cache.
constexpr std::size_t feed_forward_rows = 96;

// The rows of an activation as a linear layer reads them: levels with what belongs to them, or plain
// floats.
struct Input {
    const void* values;
    const float* scales;
    const float* extras;
};

}  // namespace

class Pass {
public:
    Pass(const Model& model, const Rows& rows, const std::vector<std::size_t>& pack,
         Workspace& memory)
        : model_(model), rows_(rows), pack_(pack), memory_(memory) {
        std::size_t longest = 0;
        for (const std::size_t row : pack) {
            starts_.push_back(tokens_);
            tokens_ += rows.length(row);
            longest = std::max(longest, rows.length(row));
        }
        const std::size_t heads = model.heads_.padded, wide = model.wide_.padded;
        const std::size_t inner = model.inner_.padded;
        const std::size_t tile = std::min(tokens_, feed_forward_rows);
        memory.states.reserve(tokens_ * wide);
        memory.attended.reserve(tokens_ * 3 * heads);
        memory.mixed.reserve(tokens_ * std::max(heads, wide));
        memory.wide.reserve(tile * inner);
        memory.scratch.reserve(model.kernels_.attention_scratch(longest, head_width()));
        memory.scales.reserve(tokens_);
        memory.levels.reserve(model.kernels_.level_bytes *
                              std::max(tokens_ * std::max(heads, wide), tile * inner));
    }

    void run(float* out) {
        embed();
        for (std::size_t at = 0; at + 1 < model_.layers_.size(); ++at) {
            const Layer& layer = model_.layers_[at];
            attend(layer);
            finish(layer, tokens_);
        }
        if (model_.head_ == Head::mean) {
            attend(model_.layers_.back());
            finish(model_.layers_.back(), tokens_);
        } else {
            attend_first(model_.layers_.back());
            finish(model_.layers_.back(), pack_.size());
        }
        head(out);
    }

private:
    std::size_t head_width() const { return model_.heads_.padded_block; }
    float* state(std::size_t token) { return memory_.states.data() + token * model_.wide_.padded; }

    void embed() {
        const std::size_t hidden = model_.wide_.count, padded = model_.wide_.padded;
        float* part = memory_.mixed.reserve(hidden);
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            const std::size_t start = rows_.starts[pack_[at]];
            std::int32_t counted = 0;
            for (std::size_t token = 0; token < rows_.length(pack_[at]); ++token) {
                float* sum = state(starts_[at] + token);
                const std::int32_t id = rows_.ids[start + token], padding = model_.shape_.padding_id;
                const std::int32_t place = id == padding ? padding : padding + ++counted;
                model_.words_.read_row(static_cast<std::size_t>(id), sum);
                add_row(model_.places_, static_cast<std::size_t>(place), part, sum);
                if (model_.types_.data != nullptr) {
                    const auto type = static_cast<std::size_t>(rows_.types[start + token]);
                    add_row(model_.types_, type, part, sum);
                }
                std::fill(sum + hidden, sum + padded, 0.0F);
                normalise(model_.after_embedding_, sum);
            }
        }
    }

    void add_row(const Tensor& table, std::size_t at, float* part, float* sum) const {
        table.read_row(at, part);
        for (std::size_t i = 0; i < table.columns; ++i) {
            sum[i] += part[i];
        }
    }

    void normalise(const Norm& norm, float* row) const {
        model_.kernels_.normalise({row, model_.wide_.count, model_.wide_.padded,
                                   norm.weight.data(), norm.bias.data(), model_.shape_.eps});
    }

    // Rows of floats as `linear` wants to read them; levels go to the workspace.
    Input input(const Linear& linear, const float* values, std::size_t rows) {
        if (linear.precision() == Precision::fp32) {
            return {values, nullptr, nullptr};
        }
        const std::size_t width = linear.packed().inputs;
        const std::size_t extras = linear.packed().extras;
        memory_.extras.reserve(rows * extras);
        QuantiseCall call = linear.quantising();
        for (std::size_t row = 0; row < rows; ++row) {
            call.row = values + row * width;
            call.levels = memory_.levels.data() + row * width * model_.kernels_.level_bytes;
            call.extras = memory_.extras.data() + row * extras;
            memory_.scales[row] = model_.kernels_.quantise(call);
        }
        return {memory_.levels.data(), memory_.scales.data(), memory_.extras.data()};
    }

    // `first` and `count` are columns: whole panels of the layer's outputs.
    LinearCall call(const Linear& linear, Input in, std::size_t rows) const {
        const std::size_t panels = linear.outputs() / model_.kernels_.panel;
        return {in.values, in.scales, in.extras, rows, linear.packed(), 0, panels, nullptr, linear.outputs(),
                nullptr, Activation::none};
    }

    void run_linear(const LinearCall& call, const Linear& linear) const {
        if (linear.precision() == Precision::int8) {
            model_.kernels_.linear_int8(call);
        } else {
            model_.kernels_.linear_fp32(call);
        }
    }

    // mixed = attention of every token.
    void attend(const Layer& layer) {
        const std::size_t heads = model_.heads_.padded;
        LinearCall in = call(layer.in, input(layer.in, memory_.states.data(), tokens_), tokens_);
        in.out = memory_.attended.data();
        run_linear(in, layer.in);
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            const float* query = memory_.attended.data() + starts_[at] * 3 * heads;
            attend_row(at, query, rows_.length(pack_[at]), starts_[at]);
        }
    }

    // mixed = attention of the first tokens, whose states move to the front: the head reads nothing
    // else. Keys and values are still those of every token.
    void attend_first(const Layer& layer) {
        const std::size_t heads = model_.heads_.padded, wide = model_.wide_.padded;
        const std::size_t panels = heads / model_.kernels_.panel;
        LinearCall in = call(layer.in, input(layer.in, memory_.states.data(), tokens_), tokens_);
        in.first_panel = panels;
        in.out = memory_.attended.data() + heads;
        in.out_stride = 3 * heads;
        run_linear(in, layer.in);
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            std::memmove(state(at), state(starts_[at]), wide * sizeof(float));
        }
        in = call(layer.in, input(layer.in, memory_.states.data(), pack_.size()), pack_.size());
        in.end_panel = panels;
        // Their queries take the places of the pack's first tokens, which nobody asks for.
        in.out = memory_.attended.data();
        run_linear(in, layer.in);
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            attend_row(at, memory_.attended.data() + at * 3 * heads, 1, at);
        }
    }

    void attend_row(std::size_t at, const float* query, std::size_t queries, std::size_t to) {
        const std::size_t heads = model_.heads_.padded;
        const float* start = memory_.attended.data() + starts_[at] * 3 * heads;
        AttentionCall call{};
        call.query = query;
        call.query_stride = call.key_stride = 3 * heads;
        call.key = start + heads;
        call.value = start + 2 * heads;
        call.queries = queries;
        call.tokens = rows_.length(pack_[at]);
        call.heads = model_.shape_.heads;
        call.head_width = head_width();
        call.scale = 1.0F / std::sqrt(static_cast<float>(model_.heads_.block));
        call.out = memory_.mixed.data() + to * heads;
        call.out_stride = heads;
        call.scratch = memory_.scratch.data();
        // What pads the heads to whole panels is not the kernel's to write.
        const std::size_t written = call.heads * call.head_width;
        for (std::size_t row = 0; row < queries; ++row) {
            std::fill(call.out + row * heads + written, call.out + (row + 1) * heads, 0.0F);
        }
        if (model_.precision_ == Precision::int8) {
            model_.kernels_.attend_int8(call);
        } else {
            model_.kernels_.attend_fp32(call);
        }
    }

    // The layer behind its attention, for the first `count` states.
    void finish(const Layer& layer, std::size_t count) {
        LinearCall out = call(layer.out, input(layer.out, memory_.mixed.data(), count), count);
        out.out = memory_.states.data();
        out.residual = memory_.states.data();
        run_linear(out, layer.out);
        for (std::size_t row = 0; row < count; ++row) {
            normalise(layer.after_attention, state(row));
        }
        for (std::size_t row = 0; row < count; row += feed_forward_rows) {
            feed_forward(layer, state(row), std::min(feed_forward_rows, count - row));
        }
    }

    void feed_forward(const Layer& layer, float* states, std::size_t rows) {
        LinearCall up = call(layer.up, input(layer.up, states, rows), rows);
        up.out = memory_.wide.data();
        up.activation = model_.activation_;
        run_linear(up, layer.up);
        LinearCall down = call(layer.down, input(layer.down, memory_.wide.data(), rows), rows);
        down.out = states;
        down.residual = states;
        run_linear(down, layer.down);
        for (std::size_t row = 0; row < rows; ++row) {
            normalise(layer.after_feed_forward, states + row * model_.wide_.padded);
        }
    }

    void head(float* out) {
        if (model_.head_ == Head::logit) {
            logits(out);
            return;
        }
        const std::size_t wide = model_.wide_.padded;
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            const bool mean = model_.head_ == Head::mean;
            const Pooled states{state(mean ? starts_[at] : at), wide,
                                mean ? rows_.length(pack_[at]) : 1};
            pool(states, model_.wide_.count, out + pack_[at] * model_.outputs());
        }
    }

    void logits(float* out) {
        const std::size_t wide = model_.wide_.padded;
        LinearCall dense = call(model_.dense_, {memory_.states.data(), nullptr, nullptr}, pack_.size());
        dense.out = memory_.mixed.data();
        run_linear(dense, model_.dense_);
        for (std::size_t at = 0; at < pack_.size(); ++at) {
            const float* pooled = memory_.mixed.data() + at * wide;
            float sum = 0.0F;
            for (std::size_t i = 0; i < model_.wide_.count; ++i) {
                sum += model_.logit_[i] * std::tanh(pooled[i]);
            }
            out[pack_[at]] = sum + model_.logit_bias_;
        }
    }

    const Model& model_;
    const Rows& rows_;
    const std::vector<std::size_t>& pack_;
    Workspace& memory_;
    std::vector<std::size_t> starts_;  // of the pack's rows, in tokens
    std::size_t tokens_ = 0;
};

void Model::forward(const Rows& rows, const std::vector<std::size_t>& pack, Workspace& memory,
                    float* out) const {
    Pass(*this, rows, pack, memory).run(out);
}

}  // namespace secondpass
