// Sixteen floats at a time: AVX-512 (F, BW, VL) with VNNI, whose vpdpbusd sums four products of
// an unsigned and a signed byte. Activations are therefore shifted by 128; the sums start at minus
// 128 times the sum of a column's weights, which takes it out again.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "transpose_avx.hpp"

namespace secondpass {
namespace {

struct Avx512 {
    static constexpr int width = 16;
    static constexpr int vectors = 4;
    static constexpr int rows = 6;
    static constexpr int group = 4;
    static constexpr int zero_level = 128;
    static constexpr bool quick_pairs = true;
    using Level = std::uint8_t;
    using Floats = __m512;
    using Sums = __m512i;

    static Floats set(float x) { return _mm512_set1_ps(x); }
    static Floats load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Floats x) { _mm512_storeu_ps(to, x); }
    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    // The processor's guess of 14 bits and one step of Newton's method: a third of a division.
    static Floats reciprocal(Floats x) {
        const Floats guess = _mm512_rcp14_ps(x);
        return mul(guess, _mm512_fnmadd_ps(x, guess, set(2.0F)));
    }
    static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
    static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
    static Floats abs(Floats x) { return _mm512_abs_ps(x); }
    static Floats round(Floats x) {
        return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static Floats scale(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }
    static Floats keep(Floats x, int count, Floats rest) {
        const unsigned kept = count >= width ? 0xFFFFU : (1U << (count > 0 ? count : 0)) - 1U;
        return _mm512_mask_mov_ps(rest, static_cast<__mmask16>(kept), x);
    }
    static float sum(Floats x) { return _mm512_reduce_add_ps(x); }
    static float largest(Floats x) { return _mm512_reduce_max_ps(x); }

    static Sums load_sums(const std::int32_t* from) { return _mm512_loadu_si512(from); }
    static Floats to_floats(Sums sums) { return _mm512_cvtepi32_ps(sums); }
    static __m512i broadcast(const Level* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        return _mm512_set1_epi32(four);
    }
    static __m512i load_weights(const std::int8_t* from) { return _mm512_loadu_si512(from); }
    static Sums dot(Sums sums, __m512i activations, __m512i weights) {
#if defined(__GNUC__) && !defined(__clang__)
        // GCC 12 copies every sum before and after the intrinsic, which costs half of the speed.
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(activations), "v"(weights));
        return sums;
#else
        return _mm512_dpbusd_epi32(sums, activations, weights);
#endif
    }
    static void store_levels(Level* to, Floats x) {
        const __m512i level = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero_level));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(level));
    }

    // Pairs of int16, in the lanes of floats.
    using PairSums = Sums;
    static Sums no_sums() { return _mm512_setzero_si512(); }
    static Sums load_pairs(const float* from) { return _mm512_loadu_si512(from); }
    static Sums broadcast_pair(const std::int16_t* from) {
        std::int32_t pair;
        std::memcpy(&pair, from, sizeof pair);
        return _mm512_set1_epi32(pair);
    }
    static Sums dot_pairs(Sums sums, Sums a, Sums b) {
#if defined(__GNUC__) && !defined(__clang__)
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));  // see dot
        return sums;
#else
        return _mm512_dpwssd_epi32(sums, a, b);
#endif
    }
    static void store_shorts(std::int16_t* to, Floats x) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
    }
    static void store_pairs(float* to, Floats low, Floats high) {
        const __m512i upper = _mm512_slli_epi32(_mm512_cvtps_epi32(high), 16);
        _mm512_storeu_si512(
            to, _mm512_mask_mov_epi16(_mm512_cvtps_epi32(low), 0xAAAAAAAAU, upper));
    }

    static void transpose(const float* from, std::size_t from_stride, float* to,
                          std::size_t to_stride) {
        for (std::size_t key = 0; key < width; key += 8) {
            for (std::size_t d = 0; d < width; d += 8) {
                transpose_8x8(from + key * from_stride + d, from_stride, to + d * to_stride + key,
                              to_stride);
            }
        }
    }
};

}  // namespace
}  // namespace secondpass
