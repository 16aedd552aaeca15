#include "packing.hpp"

#include <algorithm>
#include <numeric>

namespace secondpass {
namespace {

// More tokens read a layer's weights less often; fewer leave their activations in the cache.
constexpr std::size_t most_tokens = 256;
// So many packs a thread that the last ones even out what the first ones took too long.
constexpr std::size_t packs_a_thread = 4;

}  // namespace

std::vector<std::vector<std::size_t>> plan_packs(const Rows& rows, std::size_t threads) {
    std::vector<std::size_t> order(rows.count());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return rows.length(a) > rows.length(b);
    });
    const std::size_t share = rows.starts.back() / (threads * packs_a_thread) + 1;
    const std::size_t budget = std::min(most_tokens, share);
    std::vector<std::vector<std::size_t>> packs;
    std::size_t left = 0;
    for (const std::size_t row : order) {
        const std::size_t length = rows.length(row);
        if (packs.empty() || length > left) {
            packs.emplace_back();
            left = std::max(budget, length);
        }
        packs.back().push_back(row);
        left -= length;
    }
    return packs;
}

}  // namespace secondpass
