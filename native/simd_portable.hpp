// Four floats at a time in plain C++: for every processor, and simple enough for a compiler to
// turn into whatever vectors it knows.
//
// The simd_*.hpp files offer the same names. They live in an anonymous namespace, and what is
// compiled for one instruction set must have internal linkage: the linker may keep any one of
// several equal inline functions, and would keep one that this processor cannot run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace secondpass {
namespace {

struct Portable {
    static constexpr int width = 4;    // floats a vector
    static constexpr int vectors = 2;  // vectors of a panel: the columns of a tile
    static constexpr int rows = 4;     // rows of a tile; rows x vectors sums stay in registers
    static constexpr int group = 1;    // inputs that a sum takes at a time
    static constexpr int zero_level = 0;  // the level that stands for an activation of 0
    static constexpr bool quick_pairs = true;  // products of pairs of int16 outdo those of floats
    using Level = float;                  // a quantised activation

    struct Floats {
        float at[width];
    };
    // Whole numbers in floats: exact up to 2^24, and quicker than integers where a compiler knows
    // no instruction that widens and multiplies bytes.
    using Sums = Floats;

    template <class Function>
    static Floats each(Function function) {
        Floats out;
        for (int lane = 0; lane < width; ++lane) {
            out.at[lane] = function(lane);
        }
        return out;
    }

    static Floats set(float x) {
        return each([=](int) { return x; });
    }
    static Floats load(const float* from) {
        return each([=](int i) { return from[i]; });
    }
    static void store(float* to, Floats x) {
        for (int lane = 0; lane < width; ++lane) {
            to[lane] = x.at[lane];
        }
    }
    static Floats add(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] + b.at[i]; });
    }
    static Floats sub(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] - b.at[i]; });
    }
    static Floats mul(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] * b.at[i]; });
    }
    static Floats fma(Floats a, Floats b, Floats c) {
        return each([&](int i) { return a.at[i] * b.at[i] + c.at[i]; });
    }
    static Floats reciprocal(Floats x) {
        return each([&](int i) { return 1.0F / x.at[i]; });
    }
    // The second operand where either is not a number, as x86 has it.
    static Floats max(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] > b.at[i] ? a.at[i] : b.at[i]; });
    }
    static Floats min(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; });
    }
    static Floats abs(Floats x) {
        return each([&](int i) { return x.at[i] < 0.0F ? -x.at[i] : x.at[i]; });
    }
    // Adding and taking away 1.5 * 2^23 leaves the nearest integer; good for |x| < 2^22.
    static Floats round(Floats x) {
        return each([&](int i) { return (x.at[i] + 12582912.0F) - 12582912.0F; });
    }
    // x * 2^n for whole n in [-126, 127].
    static Floats scale(Floats x, Floats n) {
        return each([&](int i) {
            const float whole = n.at[i] > -126.0F ? n.at[i] : -126.0F;  // NaN has no exponent
            const std::int32_t bits = (static_cast<std::int32_t>(whole) + 127) * (1 << 23);
            float power;
            std::memcpy(&power, &bits, sizeof power);
            return x.at[i] * power;
        });
    }
    // The first `count` lanes, and `rest` in the others.
    static Floats keep(Floats x, int count, Floats rest) {
        return each([&](int i) { return i < count ? x.at[i] : rest.at[i]; });
    }
    static float sum(Floats x) { return (x.at[0] + x.at[2]) + (x.at[1] + x.at[3]); }
    static float largest(Floats x) {
        float most = x.at[0];
        for (int lane = 1; lane < width; ++lane) {
            most = x.at[lane] > most ? x.at[lane] : most;
        }
        return most;
    }

    static Sums load_sums(const std::int32_t* from) {
        return each([=](int i) { return static_cast<float>(from[i]); });
    }
    static Floats to_floats(Sums sums) { return sums; }
    static Floats broadcast(const Level* from) { return set(*from); }
    static Floats load_weights(const std::int8_t* from) {
        return each([=](int i) { return static_cast<float>(from[i]); });
    }
    static Sums dot(Sums sums, Floats level, Floats weights) { return fma(level, weights, sums); }
    static void store_levels(Level* to, Floats x) { store(to, x); }

    // Pairs of int16, in the lanes of floats.
    struct PairSums {
        std::int32_t at[width];
    };
    struct Pairs {
        std::int16_t at[width][2];
    };
    static PairSums no_sums() { return {}; }
    static Floats to_floats(PairSums sums) {
        return each([&](int i) { return static_cast<float>(sums.at[i]); });
    }
    static Pairs load_pairs(const float* from) {
        Pairs pairs;
        std::memcpy(&pairs, from, sizeof pairs);
        return pairs;
    }
    static Pairs broadcast_pair(const std::int16_t* from) {
        Pairs pairs;
        for (auto& pair : pairs.at) {
            std::memcpy(pair, from, sizeof pair);
        }
        return pairs;
    }
    static PairSums dot_pairs(PairSums sums, Pairs a, Pairs b) {
        for (int lane = 0; lane < width; ++lane) {
            sums.at[lane] += a.at[lane][0] * b.at[lane][0] + a.at[lane][1] * b.at[lane][1];
        }
        return sums;
    }
    static std::int16_t to_short(float x) {
        // No level of something finite is as large; the scale of anything else is NaN.
        return static_cast<std::int16_t>(x > -32768.0F && x < 32768.0F ? x : 0.0F);
    }
    static void store_shorts(std::int16_t* to, Floats x) {
        const Floats whole = round(x);
        for (int lane = 0; lane < width; ++lane) {
            to[lane] = to_short(whole.at[lane]);
        }
    }
    static void store_pairs(float* to, Floats low, Floats high) {
        const Floats whole[2] = {round(low), round(high)};
        Pairs pairs;
        for (int lane = 0; lane < width; ++lane) {
            pairs.at[lane][0] = to_short(whole[0].at[lane]);
            pairs.at[lane][1] = to_short(whole[1].at[lane]);
        }
        std::memcpy(to, &pairs, sizeof pairs);
    }

    // to[d][k] = from[k][d] for `width` keys and dimensions.
    static void transpose(const float* from, std::size_t from_stride, float* to,
                          std::size_t to_stride) {
        for (std::size_t key = 0; key < width; ++key) {
            for (std::size_t d = 0; d < width; ++d) {
                to[d * to_stride + key] = from[key * from_stride + d];
            }
        }
    }
};

}  // namespace
}  // namespace secondpass
