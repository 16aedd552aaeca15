// Eight floats at a time: AVX2 and FMA. Products of int8 are summed by vpmaddwd from int16, which
// cannot overflow; vpmaddubsw would saturate.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "transpose_avx.hpp"

namespace secondpass {
namespace {

struct Avx2 {
    static constexpr int width = 8;
    static constexpr int vectors = 2;
    static constexpr int rows = 6;
    static constexpr int group = 2;
    static constexpr int zero_level = 0;
    static constexpr bool quick_pairs = true;
    using Level = std::int16_t;
    using Floats = __m256;
    using Sums = __m256i;

    static Floats set(float x) { return _mm256_set1_ps(x); }
    static Floats load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Floats x) { _mm256_storeu_ps(to, x); }
    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats reciprocal(Floats x) { return _mm256_div_ps(set(1.0F), x); }
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
    static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
    static Floats abs(Floats x) { return _mm256_andnot_ps(set(-0.0F), x); }
    static Floats round(Floats x) {
        return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static Floats scale(Floats x, Floats n) {
        const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        return mul(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
    }
    static Floats keep(Floats x, int count, Floats rest) {
        const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
        return _mm256_blendv_ps(rest, x, _mm256_castsi256_ps(kept));
    }
    static float sum(Floats x) {
        __m128 v = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
    }
    static float largest(Floats x) {
        __m128 v = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        v = _mm_max_ps(v, _mm_movehl_ps(v, v));
        return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
    }

    static Sums load_sums(const std::int32_t* from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }
    static Floats to_floats(Sums sums) { return _mm256_cvtepi32_ps(sums); }
    static __m256i broadcast(const Level* from) {
        std::int32_t pair;
        std::memcpy(&pair, from, sizeof pair);
        return _mm256_set1_epi32(pair);
    }
    static __m256i load_weights(const std::int8_t* from) {
        return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    static Sums dot(Sums sums, __m256i pair, __m256i weights) {
        return _mm256_add_epi32(sums, _mm256_madd_epi16(pair, weights));
    }
    static void store_levels(Level* to, Floats x) {
        store_shorts(to, x);
    }

    // Pairs of int16, in the lanes of floats.
    using PairSums = Sums;
    static Sums no_sums() { return _mm256_setzero_si256(); }
    static Sums load_pairs(const float* from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }
    static Sums broadcast_pair(const std::int16_t* from) { return broadcast(from); }
    static Sums dot_pairs(Sums sums, Sums a, Sums b) {
        return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
    }
    static void store_shorts(std::int16_t* to, Floats x) {
        const __m256i wide = _mm256_cvtps_epi32(x);
        const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(wide),
                                               _mm256_extracti128_si256(wide, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow);
    }
    static void store_pairs(float* to, Floats low, Floats high) {
        const __m256i upper = _mm256_slli_epi32(_mm256_cvtps_epi32(high), 16);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_blend_epi16(_mm256_cvtps_epi32(low), upper, 0xAA));
    }

    static void transpose(const float* from, std::size_t from_stride, float* to,
                          std::size_t to_stride) {
        transpose_8x8(from, from_stride, to, to_stride);
    }
};

}  // namespace
}  // namespace secondpass
