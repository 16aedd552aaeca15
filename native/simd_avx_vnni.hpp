// AVX2 with VNNI in its VEX encoding (Alder Lake, Zen 5 and later): vpdpbusd on eight lanes. It takes
// unsigned activations; see simd_avx512.hpp for the shift.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "simd_avx2.hpp"

namespace secondpass {
namespace {

struct AvxVnni : Avx2 {
    static constexpr int group = 4;
    static constexpr int zero_level = 128;
    using Level = std::uint8_t;

    static __m256i broadcast(const Level* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        return _mm256_set1_epi32(four);
    }
    static __m256i load_weights(const std::int8_t* from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }
    static Sums dot(Sums sums, __m256i activations, __m256i weights) {
        return _mm256_dpbusd_avx_epi32(sums, activations, weights);
    }
    static Sums dot_pairs(Sums sums, Sums a, Sums b) { return _mm256_dpwssd_avx_epi32(sums, a, b); }
    static void store_levels(Level* to, Floats x) {
        const __m256i wide = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(zero_level));
        const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(wide),
                                               _mm256_extracti128_si256(wide, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(narrow, narrow));
    }
};

}  // namespace
}  // namespace secondpass
