// The forward pass of one pack of rows.
//
//   embed -> layer x (n - 1) -> last layer, of the tokens that the head reads -> head
#include "late_join.hpp"
#include "layers.hpp"
#include "model.hpp"
#include "pooling.hpp"

namespace secondpass {

void Model::forward(const Rows& rows, const std::vector<std::size_t>& pack, Workspace& memory,
                    float* out) const {
    if (shape_.join_layer > 0) {
        LateJoin(*this, rows, pack, memory).run(out);
        return;
    }
    Lengths sequences;
    for (const std::size_t row : pack) {
        sequences.add(rows.length(row));
    }
    Layers layers(*this, sequences, memory);
    for (std::size_t at = 0; at < pack.size(); ++at) {
        const std::size_t start = rows.starts[pack[at]];
        layers.embed(at, rows.ids + start, rows.types + start);
    }
    for (std::size_t at = 0; at + 1 < layers_.size(); ++at) {
        layers.run(layers_[at]);
    }
    if (head_ == Head::mean) {
        layers.run(layers_.back());
    } else {
        layers.run_first(layers_.back());
    }
    if (head_ == Head::logit) {
        const std::vector<float> logits = layers.logits();
        for (std::size_t at = 0; at < pack.size(); ++at) {
            out[pack[at]] = logits[at];
        }
        return;
    }
    for (std::size_t at = 0; at < pack.size(); ++at) {
        const bool mean = head_ == Head::mean;
        const Pooled states{layers.state(mean ? sequences.start(at) : at), wide_.padded,
                            mean ? sequences.tokens(at) : 1};
        pool(states, wide_.count, out + pack[at] * outputs());
    }
}

}  // namespace secondpass
