// One vector for a sequence: the mean of some of its tokens' states. The mean of one is that state.
#pragma once

#include <algorithm>
#include <cstddef>

namespace secondpass {

struct Pooled {
    const float* states;
    std::size_t stride;
    std::size_t tokens;  // 1 or more
};

// out[width], summed in the order of the tokens, so that it depends on this sequence alone.
inline void pool(const Pooled& from, std::size_t width, float* out) {
    std::copy(from.states, from.states + width, out);
    for (std::size_t token = 1; token < from.tokens; ++token) {
        const float* state = from.states + token * from.stride;
        for (std::size_t i = 0; i < width; ++i) {
            out[i] += state[i];
        }
    }
    const auto count = static_cast<float>(from.tokens);
    for (std::size_t i = 0; i < width; ++i) {
        out[i] /= count;
    }
}

}  // namespace secondpass
