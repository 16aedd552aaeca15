// to[d][k] = from[k][d] for eight keys and eight dimensions, in registers.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace secondpass {
namespace {

inline void transpose_8x8(const float* from, std::size_t from_stride, float* to,
                          std::size_t to_stride) {
    __m256 row[8], pair[8], quad[8];
    for (std::size_t i = 0; i < 8; ++i) {
        row[i] = _mm256_loadu_ps(from + i * from_stride);
    }
    for (std::size_t i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
    }
    for (std::size_t i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (std::size_t i = 0; i < 4; ++i) {
        _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_stride,
                         _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
    }
}

}  // namespace
}  // namespace secondpass
