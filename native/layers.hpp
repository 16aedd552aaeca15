// A model's layers over sequences of tokens that lie end to end in a workspace, no padding between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hpp"

namespace secondpass {

// Adds up the sequences of a pack: sequence s is at starts[s] up to starts[s + 1].
class Lengths {
public:
    void add(std::size_t tokens) { starts_.push_back(starts_.back() + tokens); }
    std::size_t count() const { return starts_.size() - 1; }
    std::size_t start(std::size_t at) const { return starts_[at]; }
    std::size_t tokens(std::size_t at) const { return starts_[at + 1] - starts_[at]; }
    std::size_t all_tokens() const { return starts_.back(); }

private:
    std::vector<std::size_t> starts_{0};
};

// Two may share a workspace, but to make room is to lose what was there: both must be made before
// either computes.
class Layers {
public:
    Layers(const Model& model, Lengths sequences, Workspace& memory);

    // Sets the states of a sequence's tokens to what the first layer reads; `types` null for all 0.
    void embed(std::size_t at, const std::int32_t* ids, const std::int32_t* types);

    // One layer, for every token.
    void run(const Layer& layer) {
        attend(layer);
        finish(layer, sequences_.all_tokens());
    }

    // One layer, for the first token of each sequence, which attends to all of them. Its state is
    // found at state(sequence) afterwards, and no other is of use any more.
    void run_first(const Layer& layer) {
        attend_first(layer);
        finish(layer, sequences_.count());
    }

    // The logit of the token whose state is at state(sequence), for each sequence.
    std::vector<float> logits();

    const Lengths& sequences() const { return sequences_; }
    float* state(std::size_t token) { return memory_.states.data() + token * model_.wide_.padded; }

private:
    // The rows of an activation as a linear layer reads them: levels with what belongs to them, or
    // plain floats.
    struct Input {
        const void* values;
        const float* scales;
        const float* extras;
    };

    std::size_t head_width() const { return model_.heads_.padded_block; }
    void normalise(const Norm& norm, float* row) const;
    Input input(const Linear& linear, const float* values, std::size_t rows);
    LinearCall call(const Linear& linear, Input in, std::size_t rows) const;
    void run_linear(const LinearCall& call, const Linear& linear) const;
    void attend(const Layer& layer);
    void attend_first(const Layer& layer);
    void attend_sequence(std::size_t at, const float* query, std::size_t queries, std::size_t to);
    void finish(const Layer& layer, std::size_t count);
    void feed_forward(const Layer& layer, float* states, std::size_t rows);

    const Model& model_;
    const Lengths sequences_;
    Workspace& memory_;
};

}  // namespace secondpass
