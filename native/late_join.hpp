// The forward pass of one pack for a model that reads query and passage apart in its lower layers, and
// together above (PreTTR, arXiv:2004.14255; DeFormer, arXiv:2005.00697).
//
//   sides -> embed -> layer x join_layer -+-> apart layers -> means of length 1 -> cosine
//                                         +-> + sides -> layers from join_layer on -> first token
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layers.hpp"
#include "model.hpp"

namespace secondpass {

// Tokens that are read apart from all others.
struct Side {
    const std::int32_t* ids;
    std::size_t tokens;
};

// How many of a row's tokens belong to the query: the first ones, of type 0.
std::size_t query_tokens(const Rows& rows, std::size_t row);

class LateJoin {
public:
    // The rows must have been checked, the model have a join layer, and the memory outlive this.
    LateJoin(const Model& model, const Rows& rows, const std::vector<std::size_t>& pack,
             Workspace& memory);

    // A logit for each row of the pack, to out[row].
    void run(float* out);

private:
    // What a row is made of: numbers of sides.
    struct Pair {
        std::size_t query, passage;
    };

    std::size_t number_of(Side side);
    void read_apart(Layers& apart);
    void join(const Layers& apart, Layers& together);
    void place(const Side& side, const Side& other, std::size_t kind, const float* from, float* to);

    const Model& model_;
    const std::vector<std::size_t>& pack_;
    Workspace& memory_;
    std::vector<Side> sides_;  // each once
    std::vector<Pair> pairs_;  // of the pack's rows
    std::vector<float> means_;  // of the sides, of length 1
};

}  // namespace secondpass
