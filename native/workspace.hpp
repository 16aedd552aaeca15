// The memory that one worker needs for a pack; grown when needed and kept for the next one.
#pragma once

#include <cstddef>

#include "buffer.hpp"

namespace secondpass {

struct Workspace {
    Buffer<float> states, attended, mixed, wide, scratch, scales, extras;
    Buffer<float> kept;  // states that a late join goes back to
    Buffer<std::byte> levels;

    // One pack of very long rows should not be remembered for ever.
    void trim() {
        constexpr std::size_t kept_bytes = std::size_t{64} << 20;
        if (states.bytes() + attended.bytes() + mixed.bytes() + wide.bytes() + scratch.bytes() +
                kept.bytes() + levels.bytes() >
            kept_bytes) {
            *this = Workspace();
        }
    }
};

}  // namespace secondpass
