#include "unigram.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace secondpass {
namespace {

constexpr double unknown_penalty = 10.0;  // as SentencePiece has it
constexpr std::string_view space = "\xe2\x96\x81";  // U+2581 begins every word
constexpr std::size_t bytes = 256;

// The length of a character by its first byte; a stray byte counts as one.
std::size_t width(char first) {
    const auto byte = static_cast<unsigned char>(first);
    if (byte < 0xc0) return 1;
    if (byte < 0xe0) return 2;
    return byte < 0xf0 ? 3 : 4;
}

}  // namespace

struct PieceTrie::Keys {
    const std::vector<std::string>& pieces;
    std::vector<std::int32_t> order;  // of the pieces by their bytes

    const std::string& operator[](std::size_t at) const {
        return pieces[static_cast<std::size_t>(order[at])];
    }
};

PieceTrie::PieceTrie(const std::vector<std::string>& pieces) : nodes_(2 * bytes) {
    Keys keys{pieces, {}};
    for (std::size_t at = 0; at < pieces.size(); ++at) {
        if (!pieces[at].empty()) keys.order.push_back(static_cast<std::int32_t>(at));
    }
    std::sort(keys.order.begin(), keys.order.end(), [&](std::int32_t a, std::int32_t b) {
        return pieces[static_cast<std::size_t>(a)] < pieces[static_cast<std::size_t>(b)];
    });
    place(keys, 0, keys.order.size(), 0, 0);
    // A node's base may lie anywhere: behind the last node there is room for every byte.
    nodes_.resize(nodes_.size() + bytes);
}

// Gives `node`, which the first `depth` bytes of all these keys lead to, its children.
void PieceTrie::place(const Keys& keys, std::size_t first, std::size_t last, std::size_t depth,
                      std::int32_t node) {
    if (first < last && keys[first].size() == depth) {
        nodes_[static_cast<std::size_t>(node)].piece = keys.order[first];
        while (first < last && keys[first].size() == depth) ++first;
    }
    std::vector<unsigned char> children;
    std::vector<std::size_t> begins;
    for (std::size_t at = first; at < last; ++at) {
        const auto byte = static_cast<unsigned char>(keys[at][depth]);
        if (children.empty() || children.back() != byte) {
            children.push_back(byte);
            begins.push_back(at);
        }
    }
    if (children.empty()) return;
    begins.push_back(last);
    const std::int32_t base = free_base(children);
    nodes_[static_cast<std::size_t>(node)].base = base;
    for (const unsigned char byte : children) {
        nodes_[static_cast<std::size_t>(base) + byte].parent = node;
    }
    for (std::size_t at = 0; at < children.size(); ++at) {
        place(keys, begins[at], begins[at + 1], depth + 1, base + children[at]);
    }
}

// A base at which the slots of all these bytes are free. An only child fills the first gap; for
// several, gaps that were searched once are not searched again.
std::int32_t PieceTrie::free_base(const std::vector<unsigned char>& children) {
    while (first_free_ < nodes_.size() && nodes_[first_free_].parent != none) ++first_free_;
    const std::size_t lowest = children.front();
    std::size_t& cursor = children.size() == 1 ? first_free_ : searched_;
    cursor = std::max(cursor, first_free_);
    for (std::size_t slot = cursor;; ++slot) {
        const std::size_t base = slot - lowest;
        if (base + bytes > nodes_.size()) nodes_.resize(2 * (base + bytes));
        const bool free = std::all_of(children.begin(), children.end(), [&](unsigned char byte) {
            return nodes_[base + byte].parent == none;
        });
        if (free) {
            if (children.size() > 1) searched_ = slot;
            return static_cast<std::int32_t>(base);
        }
    }
}

Unigram::Unigram(const std::vector<std::string>& pieces, std::vector<double> scores,
                 std::int32_t unknown, const std::string& ascii)
    : trie_(pieces), scores_(std::move(scores)), unknown_(unknown), unknown_score_(0), ascii_(ascii) {
    if (pieces.empty() || pieces.size() != scores_.size() || ascii.size() != 128) {
        throw std::invalid_argument("expected a score for each piece and a table of 128 characters");
    }
    unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - unknown_penalty;
}

void Unigram::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
    std::string word(space);
    std::vector<Best> best;
    const auto finish = [&] {
        if (word.size() > space.size()) encode_word(word, best, ids);
        word.resize(space.size());
    };
    for (const char given : text) {
        const auto byte = static_cast<unsigned char>(given);
        const auto becomes = byte < 128 ? static_cast<unsigned char>(ascii_[byte]) : byte;
        if (becomes == ' ') {
            finish();
        } else if (byte >= 128 || becomes != dropped) {
            word.push_back(static_cast<char>(becomes));
        }
    }
    finish();
}

void Unigram::encode_word(std::string_view word, std::vector<Best>& best,
                          std::vector<std::int32_t>& ids) const {
    best.assign(word.size() + 1, Best{});
    best[0].reached = true;
    const auto reach = [&](std::size_t start, std::size_t end, std::int32_t piece, double score) {
        Best& there = best[end];
        if (!there.reached || score > there.score) {
            there = {score, piece, static_cast<std::uint32_t>(start), true};
        }
    };
    for (std::size_t start = 0; start < word.size(); start += width(word[start])) {
        const double so_far = best[start].score;
        const std::size_t next = std::min(start + width(word[start]), word.size());
        bool single = false;
        std::int32_t node = 0;
        for (std::size_t at = start; at < word.size(); ++at) {
            node = trie_.child(node, word[at]);
            if (node == PieceTrie::none) break;
            const std::int32_t piece = trie_.piece(node);
            if (piece == PieceTrie::none) continue;
            reach(start, at + 1, piece, so_far + scores_[static_cast<std::size_t>(piece)]);
            single = single || at + 1 == next;
        }
        if (!single) reach(start, next, unknown_, so_far + unknown_score_);
    }
    const std::size_t first = ids.size();
    for (std::size_t end = word.size(); end > 0; end = best[end].start) {
        if (best[end].piece != unknown_) ids.push_back(best[end].piece);
    }
    std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

}  // namespace secondpass
