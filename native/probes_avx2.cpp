// The probe of 'avx2': vpmaddubsw and vpmaddwd for int8, and FMA on eight floats.
#include <immintrin.h>

#include "kernels.hpp"
#include "probes.hpp"

namespace secondpass {
namespace {

constexpr std::size_t sums = 12;  // with the operands they fit sixteen registers; see probes_avx512.cpp

// Read anew for each sum: of sums that are known to be equal a compiler would keep one.
volatile int start = 1;

float int8(std::size_t steps) {
    __m256i sum[sums];
    SECONDPASS_UNROLL
    for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm256_set1_epi32(start);
    const __m256i b = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    for (std::size_t step = 0; step < steps; ++step) {
        SECONDPASS_UNROLL
        for (std::size_t at = 0; at < sums; ++at) {
            auto& one = sum[at];
            const __m256i pairs = _mm256_maddubs_epi16(one, b);
            one = _mm256_add_epi32(one, _mm256_madd_epi16(pairs, ones));
        }
    }
    __m256i total = sum[0];
    SECONDPASS_UNROLL
    for (std::size_t at = 1; at < sums; ++at) total = _mm256_add_epi32(total, sum[at]);
    return static_cast<float>(_mm256_extract_epi32(total, 0));
}

float fp32(std::size_t steps) {
    __m256 sum[sums];
    SECONDPASS_UNROLL
    for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm256_set1_ps(static_cast<float>(start));
    const __m256 a = _mm256_set1_ps(0.5F);
    for (std::size_t step = 0; step < steps; ++step) {
        SECONDPASS_UNROLL
        for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm256_fmadd_ps(sum[at], a, a);
    }
    __m256 total = sum[0];
    SECONDPASS_UNROLL
    for (std::size_t at = 1; at < sums; ++at) total = _mm256_add_ps(total, sum[at]);
    return _mm256_cvtss_f32(total);
}

}  // namespace

extern const Probe avx2_probe;
const Probe avx2_probe{"avx2", int8, sums * 32 * 2, fp32, sums * 8 * 2};

}  // namespace secondpass
