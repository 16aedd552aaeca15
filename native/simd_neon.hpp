// Four floats at a time: 64-bit ARM with the dot product of ARMv8.2, whose sdot sums four products of
// signed bytes in each lane.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace secondpass {
namespace {

struct Neon {
    static constexpr int width = 4;
    static constexpr int vectors = 4;
    static constexpr int rows = 6;
    static constexpr int group = 4;
    static constexpr int zero_level = 0;
    // Of products of int16 an instruction takes as many as of floats, and often half as often.
    static constexpr bool quick_pairs = false;
    using Level = std::int8_t;
    using Floats = float32x4_t;
    using Sums = int32x4_t;

    static Floats set(float x) { return vdupq_n_f32(x); }
    static Floats load(const float* from) { return vld1q_f32(from); }
    static void store(float* to, Floats x) { vst1q_f32(to, x); }
    static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
    static Floats sub(Floats a, Floats b) { return vsubq_f32(a, b); }
    static Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
    static Floats reciprocal(Floats x) { return vdivq_f32(set(1.0F), x); }
    // NaN where either is: more than the contract of the x86 files, which asks for the second alone.
    static Floats max(Floats a, Floats b) { return vmaxq_f32(a, b); }
    static Floats min(Floats a, Floats b) { return vminq_f32(a, b); }
    static Floats abs(Floats x) { return vabsq_f32(x); }
    static Floats round(Floats x) { return vrndnq_f32(x); }
    static Floats scale(Floats x, Floats n) {
        const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
        return mul(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    }
    static Floats keep(Floats x, int count, Floats rest) {
        const std::int32_t numbers[width] = {0, 1, 2, 3};
        return vbslq_f32(vcgtq_s32(vdupq_n_s32(count), vld1q_s32(numbers)), x, rest);
    }
    static float sum(Floats x) { return vaddvq_f32(x); }
    static float largest(Floats x) { return vmaxvq_f32(x); }

    static Sums load_sums(const std::int32_t* from) { return vld1q_s32(from); }
    static Floats to_floats(Sums sums) { return vcvtq_f32_s32(sums); }
    static int8x16_t broadcast(const Level* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
    static int8x16_t load_weights(const std::int8_t* from) { return vld1q_s8(from); }
    static Sums dot(Sums sums, int8x16_t levels, int8x16_t weights) {
        return vdotq_s32(sums, levels, weights);
    }
    static void store_levels(Level* to, Floats x) {
        const int16x4_t narrow = vqmovn_s32(vcvtnq_s32_f32(x));
        const int8x8_t bytes = vqmovn_s16(vcombine_s16(narrow, narrow));
        const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
        std::memcpy(to, &four, sizeof four);
    }
    static void transpose(const float* from, std::size_t from_stride, float* to,
                          std::size_t to_stride) {
        const float32x4x2_t first = vtrnq_f32(load(from), load(from + from_stride));
        const float32x4x2_t second =
            vtrnq_f32(load(from + 2 * from_stride), load(from + 3 * from_stride));
        store(to, vcombine_f32(vget_low_f32(first.val[0]), vget_low_f32(second.val[0])));
        store(to + to_stride,
              vcombine_f32(vget_low_f32(first.val[1]), vget_low_f32(second.val[1])));
        store(to + 2 * to_stride,
              vcombine_f32(vget_high_f32(first.val[0]), vget_high_f32(second.val[0])));
        store(to + 3 * to_stride,
              vcombine_f32(vget_high_f32(first.val[1]), vget_high_f32(second.val[1])));
    }
};

}  // namespace
}  // namespace secondpass
