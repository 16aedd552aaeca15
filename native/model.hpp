// A BERT-shaped encoder with one of its heads: its weights, and their forward pass.
//
//   Model (immutable, shared by all threads)  --Layers per pack-->  logits, or vectors
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "linear.hpp"
#include "tensor.hpp"
#include "workspace.hpp"

namespace secondpass {

// What becomes of the last layer: a logit of the first token's state, that state itself, or the mean
// of the states of all tokens.
enum class Head { logit, cls, mean };

struct Shape {
    std::size_t hidden = 0, layers = 0, heads = 0, intermediate = 0;
    std::size_t vocabulary = 0, positions = 0;
    // RoBERTa: the first token's position is padding_id + 1, and a token that is the padding itself
    // does not count. BERT: -1, which no token is.
    std::int32_t padding_id = -1;
    float eps = 1e-12F;
    std::string activation;  // gelu, gelu_tanh, quick_gelu, relu or silu
    std::string head = "logit";  // or cls, mean
    // Layers from this one on read query and passage together, those below each by itself; token types
    // then mark the sides. 0 for a model that reads both together from the start.
    std::size_t join_layer = 0;
    // int8: channels of an activation that stay in float32, by the name of what reads it, such as
    // encoder.layer.0.attention.self (query, key and value read the same).
    std::map<std::string, std::vector<std::uint32_t>> outliers;
};

// Rows of token ids laid end to end; row r is at starts[r] up to starts[r + 1].
struct Rows {
    const std::int32_t* ids;
    const std::int32_t* types;
    std::vector<std::size_t> starts;

    std::size_t count() const { return starts.size() - 1; }
    std::size_t length(std::size_t row) const { return starts[row + 1] - starts[row]; }
};

struct Norm {
    Buffer<float> weight, bias;  // padded with zeros
};

struct Layer {
    Linear in;  // query, key and value: three axes of heads
    Linear out, up, down;
    Norm after_attention, after_feed_forward;
};

class Model {
public:
    // Packs the weights with `threads` threads. Throws std::invalid_argument where tensors are missing,
    // of another shape or not finite.
    Model(const Shape& shape, const Tensors& tensors, Precision precision, const Kernels& kernels,
          std::size_t threads = 1);

    // Throws std::invalid_argument for an id, type or length that the model does not have.
    void check(const Rows& rows) const;

    // What the head gives for the rows numbered in `pack`, to out[row * outputs()] and on. The rows
    // must have been checked.
    void forward(const Rows& rows, const std::vector<std::size_t>& pack, Workspace& memory,
                 float* out) const;

    // Floats a row: one logit, or a vector of the hidden size.
    std::size_t outputs() const { return head_ == Head::logit ? 1 : shape_.hidden; }

    const Kernels& kernels() const { return kernels_; }
    Precision precision() const { return precision_; }

private:
    friend class Layers;
    friend class LateJoin;

    void load_layers(const Tensors& tensors, std::size_t threads);
    void load_join(const Tensors& tensors);
    void check_sides(const Rows& rows) const;
    Layer load_layer(const Tensors& tensors, const std::string& at) const;
    Outliers outliers(const std::string& activation, const Axis& axis) const;
    void load_head(const Tensors& tensors);

    Shape shape_;
    Precision precision_;
    const Kernels& kernels_;
    Activation activation_;
    Head head_;
    Axis wide_, inner_, heads_;
    Tensor words_, places_, types_;  // as stored; types_ may be absent
    Norm after_embedding_;
    std::vector<Layer> layers_;
    // Of a late join alone: the layers from join_layer on for one side by itself; what is added to a
    // token's state, [query's, both sides' own, passage's, both sides'][wide]; the cosine's weight.
    std::vector<Layer> apart_;
    Buffer<float> sides_;
    float cosine_ = 0.0F;
    // Of the logit alone, and always fp32.
    Linear dense_;
    Buffer<float> logit_;
    float logit_bias_ = 0.0F;
};

}  // namespace secondpass
