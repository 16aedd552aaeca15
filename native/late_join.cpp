#include "late_join.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pooling.hpp"

namespace secondpass {
namespace {

// To length 1, and a vector of nearly none as it is, but for this divisor.
void normalise(float* vector, std::size_t width) {
    constexpr double least = 1e-12;
    double squares = 0.0;
    for (std::size_t i = 0; i < width; ++i) {
        squares += double{vector[i]} * vector[i];
    }
    const double length = std::max(std::sqrt(squares), least);
    for (std::size_t i = 0; i < width; ++i) {
        vector[i] = static_cast<float>(vector[i] / length);
    }
}

float inner_product(const float* a, const float* b, std::size_t width) {
    double sum = 0.0;
    for (std::size_t i = 0; i < width; ++i) {
        sum += double{a[i]} * b[i];
    }
    return static_cast<float>(sum);
}

}  // namespace

std::size_t query_tokens(const Rows& rows, std::size_t row) {
    const std::int32_t* types = rows.types + rows.starts[row];
    return static_cast<std::size_t>(std::find(types, types + rows.length(row), 1) - types);
}

LateJoin::LateJoin(const Model& model, const Rows& rows, const std::vector<std::size_t>& pack,
                   Workspace& memory)
    : model_(model), pack_(pack), memory_(memory) {
    for (const std::size_t row : pack) {
        const std::int32_t* ids = rows.ids + rows.starts[row];
        const std::size_t query = query_tokens(rows, row);
        const std::size_t first = number_of({ids, query});
        pairs_.push_back({first, number_of({ids + query, rows.length(row) - query})});
    }
}

// Rows of one call have one query, whose side is computed once.
std::size_t LateJoin::number_of(Side side) {
    const auto same = [&](const Side& other) {
        return side.tokens == other.tokens && std::equal(side.ids, side.ids + side.tokens, other.ids);
    };
    const auto found = std::find_if(sides_.begin(), sides_.end(), same);
    const auto number = static_cast<std::size_t>(found - sides_.begin());
    if (found == sides_.end()) {
        sides_.push_back(side);
    }
    return number;
}

void LateJoin::run(float* out) {
    Lengths pairs, sides;
    for (const Pair& pair : pairs_) {
        pairs.add(sides_[pair.query].tokens + sides_[pair.passage].tokens);
    }
    for (const Side& side : sides_) {
        sides.add(side.tokens);
    }
    Layers together(model_, pairs, memory_), apart(model_, sides, memory_);
    read_apart(apart);
    join(apart, together);
    const std::vector<float> logits = together.logits();
    const std::size_t width = model_.wide_.count;
    for (std::size_t at = 0; at < pack_.size(); ++at) {
        const float* query = means_.data() + pairs_[at].query * width;
        const float* passage = means_.data() + pairs_[at].passage * width;
        out[pack_[at]] = logits[at] + model_.cosine_ * inner_product(query, passage, width);
    }
}

// Keeps the states that the sides join with, and their means after all layers.
void LateJoin::read_apart(Layers& apart) {
    const std::size_t width = model_.wide_.count, padded = model_.wide_.padded;
    const std::size_t tokens = apart.sequences().all_tokens();
    for (std::size_t at = 0; at < sides_.size(); ++at) {
        apart.embed(at, sides_[at].ids, nullptr);
    }
    for (std::size_t at = 0; at < model_.shape_.join_layer; ++at) {
        apart.run(model_.layers_[at]);
    }
    float* kept = memory_.kept.reserve(tokens * padded);
    std::memcpy(kept, apart.state(0), tokens * padded * sizeof(float));
    for (const Layer& layer : model_.apart_) {
        apart.run(layer);
    }
    means_.resize(sides_.size() * width);
    for (std::size_t at = 0; at < sides_.size(); ++at) {
        const Pooled states{apart.state(apart.sequences().start(at)), padded, sides_[at].tokens};
        pool(states, width, means_.data() + at * width);
        normalise(means_.data() + at * width, width);
    }
}

void LateJoin::join(const Layers& apart, Layers& together) {
    const std::size_t padded = model_.wide_.padded;
    const auto kept = [&](std::size_t side) {
        return memory_.kept.data() + apart.sequences().start(side) * padded;
    };
    for (std::size_t at = 0; at < pairs_.size(); ++at) {
        const auto [first, second] = pairs_[at];
        const Side query = sides_[first], passage = sides_[second];
        const std::size_t start = together.sequences().start(at);
        place(query, passage, 0, kept(first), together.state(start));
        place(passage, query, 2, kept(second), together.state(start + query.tokens));
    }
    for (std::size_t at = model_.shape_.join_layer; at + 1 < model_.layers_.size(); ++at) {
        together.run(model_.layers_[at]);
    }
    together.run_first(model_.layers_.back());
}

// A side's states into a pair, each token being told its side, and whether the other side has it too.
void LateJoin::place(const Side& side, const Side& other, std::size_t kind, const float* from,
                     float* to) {
    const std::size_t padded = model_.wide_.padded;
    for (std::size_t token = 0; token < side.tokens; ++token) {
        const std::int32_t* end = other.ids + other.tokens;
        const bool seen = std::find(other.ids, end, side.ids[token]) != end;
        const float* told = model_.sides_.data() + (kind + (seen ? 1U : 0U)) * padded;
        for (std::size_t i = 0; i < padded; ++i) {
            to[token * padded + i] = from[token * padded + i] + told[i];
        }
    }
}

}  // namespace secondpass
