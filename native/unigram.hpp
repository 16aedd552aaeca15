// Unigram pieces: a word is cut where the pieces' scores sum up highest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace secondpass {

// Pieces by prefix: a double array. The child of node n by byte b is n's base + b, if that slot's
// parent is n.
class PieceTrie {
   public:
    static constexpr std::int32_t none = -1;

    explicit PieceTrie(const std::vector<std::string>& pieces);

    std::int32_t child(std::int32_t node, char byte) const {
        const std::size_t at = static_cast<std::size_t>(nodes_[static_cast<std::size_t>(node)].base) +
                               static_cast<unsigned char>(byte);
        return nodes_[at].parent == node ? static_cast<std::int32_t>(at) : none;
    }

    std::int32_t piece(std::int32_t node) const {
        return nodes_[static_cast<std::size_t>(node)].piece;
    }

   private:
    struct Node {
        std::int32_t base = 0;
        std::int32_t parent = none;
        std::int32_t piece = none;
    };

    struct Keys;

    void place(const Keys& keys, std::size_t first, std::size_t last, std::size_t depth,
               std::int32_t node);
    std::int32_t free_base(const std::vector<unsigned char>& bytes);

    std::vector<Node> nodes_;
    // Slot 0 is the root's own. From 256 on, a slot can be the child by any byte.
    std::size_t first_free_ = 256;
    std::size_t searched_ = 256;  // where several children were placed last
};

class Unigram {
   public:
    // `ascii` has 128 entries: what a character becomes, or `dropped`.
    static constexpr unsigned char dropped = 0xff;

    Unigram(const std::vector<std::string>& pieces, std::vector<double> scores,
            std::int32_t unknown, const std::string& ascii);

    // Appends the ids of a text in UTF-8, word by word; what is in no piece is left out.
    void encode(std::string_view text, std::vector<std::int32_t>& ids) const;

   private:
    struct Best {
        double score = 0;
        std::int32_t piece = PieceTrie::none;
        std::uint32_t start = 0;
        bool reached = false;
    };

    void encode_word(std::string_view word, std::vector<Best>& best,
                     std::vector<std::int32_t>& ids) const;

    PieceTrie trie_;
    std::vector<double> scores_;
    std::int32_t unknown_;
    double unknown_score_;
    std::string ascii_;
};

}  // namespace secondpass
