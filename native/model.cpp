#include "model.hpp"

#include <algorithm>
#include <stdexcept>

#include "thread_pool.hpp"

namespace secondpass {
namespace {

Activation activation_named(const std::string& name) {
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_tanh") return Activation::gelu_tanh;
    if (name == "quick_gelu") return Activation::quick_gelu;
    if (name == "relu") return Activation::relu;
    if (name == "silu") return Activation::silu;
    throw std::invalid_argument("unknown activation '" + name +
                                "'; choose from gelu, gelu_tanh, quick_gelu, relu, silu");
}

Head head_named(const std::string& name) {
    if (name == "logit") return Head::logit;
    if (name == "cls") return Head::cls;
    if (name == "mean") return Head::mean;
    throw std::invalid_argument("unknown head '" + name + "'; choose from logit, cls, mean");
}

// Sums of int32 hold that many of attention's products (operands.hpp).
constexpr std::size_t most_int8_positions = std::size_t{1} << 19;

const Shape& checked(const Shape& shape, Precision precision) {
    constexpr std::size_t most = std::size_t{1} << 20;  // products of two widths fit any size_t
    for (const std::size_t size : {shape.hidden, shape.layers, shape.heads, shape.intermediate}) {
        if (size < 1 || size > most) {
            throw std::invalid_argument("a size of " + std::to_string(size) +
                                        " in the model's shape; expected 1 to " +
                                        std::to_string(most));
        }
    }
    if (precision == Precision::int8 && shape.positions > most_int8_positions) {
        throw std::invalid_argument(std::to_string(shape.positions) +
                                    " positions are too many for int8, which takes up to " +
                                    std::to_string(most_int8_positions) +
                                    "; choose precision fp32");
    }
    if (shape.padding_id < -1) {
        throw std::invalid_argument("a padding id of " + std::to_string(shape.padding_id) +
                                    "; expected -1 for none, or a token's id");
    }
    if (shape.hidden % shape.heads != 0) {
        throw std::invalid_argument("hidden size " + std::to_string(shape.hidden) +
                                    " is no multiple of " + std::to_string(shape.heads) + " heads");
    }
    if (shape.join_layer >= shape.layers) {
        throw std::invalid_argument("join layer " + std::to_string(shape.join_layer) + " of " +
                                    std::to_string(shape.layers) +
                                    " layers; expected 0 for none, or one below the last");
    }
    if (shape.join_layer > 0 && shape.head != "logit") {
        throw std::invalid_argument("a late join with the head '" + shape.head +
                                    "'; expected logit");
    }
    return shape;
}

Buffer<float> load_vector(const Tensor& tensor, std::size_t padded) {
    Buffer<float> vector(padded);
    vector.fill(0.0F);
    tensor.read_row(0, vector.data());
    return vector;
}

Norm load_norm(const Tensors& tensors, const std::string& name, const Axis& axis) {
    return {load_vector(find(tensors, name + ".weight", 1, axis.count), axis.padded),
            load_vector(find(tensors, name + ".bias", 1, axis.count), axis.padded)};
}

void load_linear(Linear& linear, const Tensors& tensors, const std::string& name, const Axis& in,
                 const Axis& out, std::size_t first_output = 0) {
    try {
        linear.set(find(tensors, name + ".weight", out.count, in.count),
                   find(tensors, name + ".bias", 1, out.count), in, out, first_output);
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(name + ": " + error.what());
    }
}

}  // namespace

Model::Model(const Shape& shape, const Tensors& tensors, Precision precision,
             const Kernels& kernels, std::size_t threads)
    : shape_(checked(shape, precision)),
      precision_(precision),
      kernels_(kernels),
      activation_(activation_named(shape.activation)),
      head_(head_named(shape.head)),
      wide_(plain_axis(shape.hidden, kernels)),
      inner_(plain_axis(shape.intermediate, kernels)),
      heads_(heads_axis(shape.heads, shape.hidden / shape.heads, kernels)) {
    const std::string at = "embeddings.";
    words_ = find(tensors, at + "word_embeddings.weight", shape.vocabulary, shape.hidden);
    places_ = find(tensors, at + "position_embeddings.weight", shape.positions, shape.hidden);
    const std::string types = at + "token_type_embeddings.weight";
    if (const auto found = tensors.find(types); found != tensors.end()) {
        types_ = find(tensors, types, found->second.rows, shape.hidden);
    }
    if (shape.join_layer > 0 && (types_.data == nullptr || types_.rows < 1)) {
        throw std::invalid_argument("the tensor " + types + " is missing, or has no row");
    }
    after_embedding_ = load_norm(tensors, at + "LayerNorm", wide_);
    if (head_ == Head::logit) {
        load_head(tensors);
    }
    load_layers(tensors, threads);
    if (shape.join_layer > 0) {
        load_join(tensors);
    }
}

void Model::load_layers(const Tensors& tensors, std::size_t threads) {
    const std::size_t layers = shape_.layers;
    const std::size_t first_apart = shape_.join_layer > 0 ? shape_.join_layer : layers;
    const auto name = [&](std::size_t at) {
        return at < layers ? "encoder.layer." + std::to_string(at) + "."
                           : "apart.layer." + std::to_string(at - layers + first_apart) + ".";
    };
    const std::size_t count = 2 * layers - first_apart;
    // Before room is made for as many layers as the shape claims.
    for (const std::size_t last : {layers - 1, count - 1}) {
        find(tensors, name(last) + "output.dense.bias", 1, shape_.hidden);
    }
    layers_.resize(layers);
    apart_.resize(count - layers);
    PoolCall call;
    call.items = count;
    call.threads = threads;
    call.work = [&](std::size_t at, Workspace&) {
        Layer& layer = at < layers ? layers_[at] : apart_[at - layers];
        layer = load_layer(tensors, name(at));
    };
    ThreadPool::of_process().run(call);
}

void Model::load_join(const Tensors& tensors) {
    const Tensor& sides = find(tensors, "join.sides.weight", 4, shape_.hidden);
    sides_ = Buffer<float>(4 * wide_.padded);
    sides_.fill(0.0F);
    for (std::size_t row = 0; row < 4; ++row) {
        sides.read_row(row, sides_.data() + row * wide_.padded);
    }
    find(tensors, "join.cosine", 1, 1).read_row(0, &cosine_);
}

Layer Model::load_layer(const Tensors& tensors, const std::string& at) const {
    Layer layer;
    layer.in = Linear(wide_.padded, 3 * heads_.padded, precision_, kernels_,
                      outliers(at + "attention.self", wide_));
    std::size_t first = 0;
    for (const char* part : {"query", "key", "value"}) {
        load_linear(layer.in, tensors, at + "attention.self." + part, wide_, heads_, first);
        first += heads_.padded;
    }
    layer.out = Linear(heads_.padded, wide_.padded, precision_, kernels_,
                       outliers(at + "attention.output.dense", heads_));
    load_linear(layer.out, tensors, at + "attention.output.dense", heads_, wide_);
    layer.up = Linear(wide_.padded, inner_.padded, precision_, kernels_,
                      outliers(at + "intermediate.dense", wide_));
    load_linear(layer.up, tensors, at + "intermediate.dense", wide_, inner_);
    layer.down = Linear(inner_.padded, wide_.padded, precision_, kernels_,
                        outliers(at + "output.dense", inner_));
    load_linear(layer.down, tensors, at + "output.dense", inner_, wide_);
    layer.after_attention = load_norm(tensors, at + "attention.output.LayerNorm", wide_);
    layer.after_feed_forward = load_norm(tensors, at + "output.LayerNorm", wide_);
    return layer;
}

// The places of the outliers among an activation's numbers.
Outliers Model::outliers(const std::string& activation, const Axis& axis) const {
    Outliers places;
    const auto found = shape_.outliers.find(activation);
    if (found == shape_.outliers.end()) {
        return places;
    }
    for (const std::uint32_t channel : found->second) {
        if (channel >= axis.count) {
            throw std::invalid_argument("outlier " + std::to_string(channel) + " of " + activation +
                                        ", which has " + std::to_string(axis.count) + " channels");
        }
        places.push_back(static_cast<std::uint32_t>(axis.place(channel)));
    }
    return places;
}

void Model::load_head(const Tensors& tensors) {
    dense_ = Linear(wide_.padded, wide_.padded, Precision::fp32, kernels_);
    load_linear(dense_, tensors, "dense", wide_, wide_);
    logit_ = load_vector(find(tensors, "logit.weight", 1, shape_.hidden), wide_.padded);
    find(tensors, "logit.bias", 1, 1).read_row(0, &logit_bias_);
}

void Model::check(const Rows& rows) const {
    const auto unused = static_cast<std::size_t>(shape_.padding_id + 1);
    const std::size_t most = shape_.positions > unused ? shape_.positions - unused : 0;
    for (std::size_t row = 0; row < rows.count(); ++row) {
        const std::size_t length = rows.length(row);
        if (length < 1 || length > most) {
            throw std::invalid_argument(
                "row " + std::to_string(row) + " has " + std::to_string(length) +
                " tokens; expected 1 to " + std::to_string(most));
        }
    }
    if (shape_.join_layer > 0) {
        check_sides(rows);
    }
    const std::size_t types = shape_.join_layer > 0 ? 2 : types_.data != nullptr ? types_.rows : 1;
    for (std::size_t at = 0; at < rows.starts.back(); ++at) {
        const std::int32_t id = rows.ids[at];
        if (id < 0 || static_cast<std::size_t>(id) >= shape_.vocabulary) {
            throw std::invalid_argument("token id " + std::to_string(id) +
                                        " is not in the vocabulary of " +
                                        std::to_string(shape_.vocabulary));
        }
        const std::int32_t type = rows.types[at];
        if (type < 0 || static_cast<std::size_t>(type) >= types) {
            throw std::invalid_argument("token type " + std::to_string(type) +
                                        " is not one of the model's " + std::to_string(types));
        }
    }
}

// After the lengths: each row has a token.
void Model::check_sides(const Rows& rows) const {
    for (std::size_t row = 0; row < rows.count(); ++row) {
        const std::int32_t* first = rows.types + rows.starts[row];
        const std::int32_t* last = rows.types + rows.starts[row + 1] - 1;
        if (*first != 0 || *last != 1 || !std::is_sorted(first, last + 1)) {
            throw std::invalid_argument("the token types of row " + std::to_string(row) +
                                        " do not mark two sides; expected 0 for the query's tokens, "
                                        "then 1 for the passage's");
        }
    }
}

}  // namespace secondpass
