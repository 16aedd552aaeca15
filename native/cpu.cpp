#include "cpu.hpp"

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#define SECONDPASS_X86 1
#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif (defined(__aarch64__) || defined(_M_ARM64)) && defined(__linux__)
#define SECONDPASS_ARM_LINUX 1
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#define SECONDPASS_ARM_APPLE 1
#include <sys/sysctl.h>
#elif (defined(__aarch64__) || defined(_M_ARM64)) && defined(_WIN32)
#define SECONDPASS_ARM_WINDOWS 1
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace secondpass {
namespace {

[[maybe_unused]] bool bit(std::uint64_t word, unsigned index) { return ((word >> index) & 1U) != 0; }

[[maybe_unused]] bool all_bits(std::uint64_t word, std::uint64_t mask) {
    return (word & mask) == mask;
}

#if defined(SECONDPASS_X86)

struct Registers {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros where the processor does not know the leaf: it would answer with another leaf's bits.
Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    Registers r;
#if defined(_MSC_VER) && !defined(__clang__)
    int words[4] = {};
    __cpuid(words, 0);
    if (static_cast<std::uint32_t>(words[0]) < leaf) {
        return r;
    }
    __cpuidex(words, static_cast<int>(leaf), static_cast<int>(subleaf));
    r.eax = static_cast<std::uint32_t>(words[0]);
    r.ebx = static_cast<std::uint32_t>(words[1]);
    r.ecx = static_cast<std::uint32_t>(words[2]);
    r.edx = static_cast<std::uint32_t>(words[3]);
#else
    if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) {
        return Registers{};
    }
#endif
    return r;
}

// XCR0: which register files the operating system saves. Only valid where OSXSAVE is set.
std::uint64_t saved_state() {
#if defined(_MSC_VER) && !defined(__clang__)
    return _xgetbv(0);
#else
    // The intrinsic would need -mxsave for the whole file.
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

CpuFeatures detect() {
    constexpr std::uint64_t ymm_state = 0x6;         // XMM, YMM
    constexpr std::uint64_t zmm_state = 0xE6;        // and opmask, ZMM_Hi256, Hi16_ZMM
    constexpr std::uint64_t tile_state = 0x3 << 17;  // TILECFG, TILEDATA

    const Registers basic = cpuid(1, 0);
    const Registers extended = cpuid(7, 0);
    const Registers more = extended.eax >= 1 ? cpuid(7, 1) : Registers{};
    const std::uint64_t saved = bit(basic.ecx, 27) ? saved_state() : 0;
    const bool ymm = all_bits(saved, ymm_state) && bit(basic.ecx, 28);
    // macOS on Intel enables this state on first use only, so AVX-512 reads as absent there.
    const bool zmm = ymm && all_bits(saved, zmm_state);
    const bool tiles = all_bits(saved, tile_state);

    CpuFeatures f;
    f.sse4_2 = bit(basic.ecx, 20);
    f.avx2 = ymm && bit(extended.ebx, 5);
    f.fma = ymm && bit(basic.ecx, 12);
    f.avx_vnni = ymm && bit(more.eax, 4);
    f.avx512f = zmm && bit(extended.ebx, 16);
    f.avx512bw = f.avx512f && bit(extended.ebx, 30);
    f.avx512vl = f.avx512f && bit(extended.ebx, 31);
    f.avx512_vnni = f.avx512f && bit(extended.ecx, 11);
    f.avx512_bf16 = f.avx512f && bit(more.eax, 5);
    f.amx_tile = tiles && bit(extended.edx, 24);
    f.amx_int8 = f.amx_tile && bit(extended.edx, 25);
    return f;
}

#elif defined(SECONDPASS_ARM_LINUX)

CpuFeatures detect() {
    // The kernel's asm/hwcap.h; written out, for older headers lack the later bits.
    const std::uint64_t first = getauxval(AT_HWCAP);
    const std::uint64_t second = getauxval(AT_HWCAP2);
    CpuFeatures f;
    f.neon = bit(first, 1);
    f.dotprod = bit(first, 20);
    f.i8mm = bit(second, 13);
    return f;
}

#elif defined(SECONDPASS_ARM_APPLE)

bool sysctl_flag(const char* name) {
    int value = 0;
    std::size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures detect() {
    CpuFeatures f;
    f.neon = true;  // every 64-bit Apple processor has it
    f.dotprod = sysctl_flag("hw.optional.arm.FEAT_DotProd");
    f.i8mm = sysctl_flag("hw.optional.arm.FEAT_I8MM");
    return f;
}

#elif defined(SECONDPASS_ARM_WINDOWS)

CpuFeatures detect() {
    // winnt.h names these PF_ARM_*; the numbers, for older SDKs lack the later ones.
    CpuFeatures f;
    f.neon = IsProcessorFeaturePresent(19) != 0;
    f.dotprod = IsProcessorFeaturePresent(43) != 0;
    f.i8mm = IsProcessorFeaturePresent(66) != 0;
    return f;
}

#else

CpuFeatures detect() { return {}; }

#endif

struct Named {
    const char* name;
    bool CpuFeatures::*flag;
};

constexpr Named names[] = {
    {"sse4.2", &CpuFeatures::sse4_2},
    {"avx2", &CpuFeatures::avx2},
    {"fma", &CpuFeatures::fma},
    {"avx_vnni", &CpuFeatures::avx_vnni},
    {"avx512f", &CpuFeatures::avx512f},
    {"avx512bw", &CpuFeatures::avx512bw},
    {"avx512vl", &CpuFeatures::avx512vl},
    {"avx512_vnni", &CpuFeatures::avx512_vnni},
    {"avx512_bf16", &CpuFeatures::avx512_bf16},
    {"amx_tile", &CpuFeatures::amx_tile},
    {"amx_int8", &CpuFeatures::amx_int8},
    {"neon", &CpuFeatures::neon},
    {"dotprod", &CpuFeatures::dotprod},
    {"i8mm", &CpuFeatures::i8mm},
};

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect();
    return features;
}

std::vector<std::string> instruction_sets() {
    const CpuFeatures& features = cpu_features();
    std::vector<std::string> found;
    for (const Named& named : names) {
        if (features.*named.flag) {
            found.emplace_back(named.name);
        }
    }
    return found;
}

}  // namespace secondpass
