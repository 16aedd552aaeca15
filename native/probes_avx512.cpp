// The probe of 'avx512_vnni': vpdpbusd, and FMA on sixteen floats.
#include <immintrin.h>

#include "kernels.hpp"
#include "probes.hpp"

namespace secondpass {
namespace {

constexpr std::size_t sums = 16;  // independent, to cover the latency of two pipes; each loop over
                                 // them is unrolled, or they would live in memory

// Read anew for each sum: of sums that are known to be equal a compiler would keep one.
volatile int start = 1;

float int8(std::size_t steps) {
    __m512i sum[sums];
    SECONDPASS_UNROLL
    for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm512_set1_epi32(start);
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(1);
    for (std::size_t step = 0; step < steps; ++step) {
        SECONDPASS_UNROLL
        for (std::size_t at = 0; at < sums; ++at) {
            auto& one = sum[at];
#if defined(__GNUC__) && !defined(__clang__)
            // As in simd_avx512.hpp: GCC 12 copies every sum around the intrinsic.
            __asm__("vpdpbusd %2, %1, %0" : "+v"(one) : "v"(a), "v"(b));
#else
            one = _mm512_dpbusd_epi32(one, a, b);
#endif
        }
    }
    __m512i total = sum[0];
    SECONDPASS_UNROLL
    for (std::size_t at = 1; at < sums; ++at) total = _mm512_add_epi32(total, sum[at]);
    return static_cast<float>(_mm512_reduce_add_epi32(total));
}

float fp32(std::size_t steps) {
    __m512 sum[sums];
    SECONDPASS_UNROLL
    for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm512_set1_ps(static_cast<float>(start));
    const __m512 a = _mm512_set1_ps(0.5F);
    for (std::size_t step = 0; step < steps; ++step) {
        SECONDPASS_UNROLL
        for (std::size_t at = 0; at < sums; ++at) sum[at] = _mm512_fmadd_ps(sum[at], a, a);
    }
    __m512 total = sum[0];
    SECONDPASS_UNROLL
    for (std::size_t at = 1; at < sums; ++at) total = _mm512_add_ps(total, sum[at]);
    return _mm512_reduce_add_ps(total);
}

}  // namespace

extern const Probe avx512_probe;
const Probe avx512_probe{"avx512_vnni", int8, sums * 64 * 2, fp32, sums * 16 * 2};

}  // namespace secondpass
