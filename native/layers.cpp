// The layers of a pack: embed -> [qkv -> attend -> out + residual -> norm -> up, gelu -> down + residual
// -> norm] -> logits.
//
// A pack is computed by one thread from end to end, so nothing waits inside a layer.
#include "layers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace secondpass {
namespace {

// Rows of the feed-forward network at a time: its wide activation should stay in a core's cache.
constexpr std::size_t feed_forward_rows = 96;

void add_row(const Tensor& table, std::size_t at, float* part, float* sum) {
    table.read_row(at, part);
    for (std::size_t i = 0; i < table.columns; ++i) {
        sum[i] += part[i];
    }
}

}  // namespace

Layers::Layers(const Model& model, Lengths sequences, Workspace& memory)
    : model_(model), sequences_(std::move(sequences)), memory_(memory) {
    std::size_t longest = 0;
    for (std::size_t at = 0; at < sequences_.count(); ++at) {
        longest = std::max(longest, sequences_.tokens(at));
    }
    const std::size_t tokens = sequences_.all_tokens();
    const std::size_t heads = model.heads_.padded, wide = model.wide_.padded;
    const std::size_t inner = model.inner_.padded;
    const std::size_t tile = std::min(tokens, feed_forward_rows);
    memory.states.reserve(tokens * wide);
    memory.attended.reserve(tokens * 3 * heads);
    memory.mixed.reserve(tokens * std::max(heads, wide));
    memory.wide.reserve(tile * inner);
    memory.scratch.reserve(model.kernels_.attention_scratch(longest, head_width()));
    memory.scales.reserve(tokens);
    memory.levels.reserve(model.kernels_.level_bytes *
                          std::max(tokens * std::max(heads, wide), tile * inner));
}

void Layers::embed(std::size_t at, const std::int32_t* ids, const std::int32_t* types) {
    const std::size_t hidden = model_.wide_.count, padded = model_.wide_.padded;
    float* part = memory_.mixed.reserve(hidden);
    const std::int32_t padding = model_.shape_.padding_id;
    std::int32_t counted = 0;
    for (std::size_t token = 0; token < sequences_.tokens(at); ++token) {
        float* sum = state(sequences_.start(at) + token);
        const std::int32_t place = ids[token] == padding ? padding : padding + ++counted;
        model_.words_.read_row(static_cast<std::size_t>(ids[token]), sum);
        add_row(model_.places_, static_cast<std::size_t>(place), part, sum);
        if (model_.types_.data != nullptr) {
            const std::int32_t type = types != nullptr ? types[token] : 0;
            add_row(model_.types_, static_cast<std::size_t>(type), part, sum);
        }
        std::fill(sum + hidden, sum + padded, 0.0F);
        normalise(model_.after_embedding_, sum);
    }
}

void Layers::normalise(const Norm& norm, float* row) const {
    model_.kernels_.normalise({row, model_.wide_.count, model_.wide_.padded, norm.weight.data(),
                               norm.bias.data(), model_.shape_.eps});
}

// Rows of floats as `linear` wants to read them; levels go to the workspace.
Layers::Input Layers::input(const Linear& linear, const float* values, std::size_t rows) {
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
LinearCall Layers::call(const Linear& linear, Input in, std::size_t rows) const {
    const std::size_t panels = linear.outputs() / model_.kernels_.panel;
    return {in.values, in.scales, in.extras, rows, linear.packed(), 0, panels, nullptr, linear.outputs(),
            nullptr, Activation::none};
}

void Layers::run_linear(const LinearCall& call, const Linear& linear) const {
    if (linear.precision() == Precision::int8) {
        model_.kernels_.linear_int8(call);
    } else {
        model_.kernels_.linear_fp32(call);
    }
}

// mixed = attention of every token.
void Layers::attend(const Layer& layer) {
    const std::size_t heads = model_.heads_.padded, tokens = sequences_.all_tokens();
    LinearCall in = call(layer.in, input(layer.in, memory_.states.data(), tokens), tokens);
    in.out = memory_.attended.data();
    run_linear(in, layer.in);
    for (std::size_t at = 0; at < sequences_.count(); ++at) {
        const float* query = memory_.attended.data() + sequences_.start(at) * 3 * heads;
        attend_sequence(at, query, sequences_.tokens(at), sequences_.start(at));
    }
}

// mixed = attention of the first tokens, whose states move to the front: the head reads nothing
// else. Keys and values are still those of every token.
void Layers::attend_first(const Layer& layer) {
    const std::size_t heads = model_.heads_.padded, wide = model_.wide_.padded;
    const std::size_t panels = heads / model_.kernels_.panel;
    const std::size_t tokens = sequences_.all_tokens(), count = sequences_.count();
    LinearCall in = call(layer.in, input(layer.in, memory_.states.data(), tokens), tokens);
    in.first_panel = panels;
    in.out = memory_.attended.data() + heads;
    in.out_stride = 3 * heads;
    run_linear(in, layer.in);
    for (std::size_t at = 0; at < count; ++at) {
        std::memmove(state(at), state(sequences_.start(at)), wide * sizeof(float));
    }
    in = call(layer.in, input(layer.in, memory_.states.data(), count), count);
    in.end_panel = panels;
    // Their queries take the places of the pack's first tokens, which nobody asks for.
    in.out = memory_.attended.data();
    run_linear(in, layer.in);
    for (std::size_t at = 0; at < count; ++at) {
        attend_sequence(at, memory_.attended.data() + at * 3 * heads, 1, at);
    }
}

// Some tokens of a sequence, their queries beginning at `query`, attend to all of it; to row `to`.
void Layers::attend_sequence(std::size_t at, const float* query, std::size_t queries,
                             std::size_t to) {
    const std::size_t heads = model_.heads_.padded;
    const float* start = memory_.attended.data() + sequences_.start(at) * 3 * heads;
    AttentionCall call{};
    call.query = query;
    call.query_stride = call.key_stride = 3 * heads;
    call.key = start + heads;
    call.value = start + 2 * heads;
    call.queries = queries;
    call.tokens = sequences_.tokens(at);
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
void Layers::finish(const Layer& layer, std::size_t count) {
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

void Layers::feed_forward(const Layer& layer, float* states, std::size_t rows) {
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

std::vector<float> Layers::logits() {
    const std::size_t wide = model_.wide_.padded, count = sequences_.count();
    LinearCall dense = call(model_.dense_, {memory_.states.data(), nullptr, nullptr}, count);
    dense.out = memory_.mixed.data();
    run_linear(dense, model_.dense_);
    std::vector<float> logits;
    for (std::size_t at = 0; at < count; ++at) {
        const float* pooled = memory_.mixed.data() + at * wide;
        float sum = 0.0F;
        for (std::size_t i = 0; i < model_.wide_.count; ++i) {
            sum += model_.logit_[i] * std::tanh(pooled[i]);
        }
        logits.push_back(sum + model_.logit_bias_);
    }
    return logits;
}

}  // namespace secondpass
