#include "dispatch.hpp"

#include <stdexcept>

#include "cpu.hpp"

namespace secondpass {

extern const Kernels portable_kernels;
#if defined(SECONDPASS_AVX2)
extern const Kernels avx2_kernels;
#endif
#if defined(SECONDPASS_AVX_VNNI)
extern const Kernels avx_vnni_kernels;
#endif
#if defined(SECONDPASS_AVX512)
extern const Kernels avx512_kernels;
#endif
#if defined(SECONDPASS_NEON)
extern const Kernels neon_kernels;
#endif

namespace {

std::vector<const Kernels*> usable_kernels() {
    [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
    std::vector<const Kernels*> usable;
#if defined(SECONDPASS_AVX512)
    if (cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512_vnni && cpu.fma) {
        usable.push_back(&avx512_kernels);
    }
#endif
#if defined(SECONDPASS_AVX_VNNI)
    if (cpu.avx_vnni && cpu.avx2 && cpu.fma) {
        usable.push_back(&avx_vnni_kernels);
    }
#endif
#if defined(SECONDPASS_AVX2)
    if (cpu.avx2 && cpu.fma) {
        usable.push_back(&avx2_kernels);
    }
#endif
#if defined(SECONDPASS_NEON)
    if (cpu.neon && cpu.dotprod) {
        usable.push_back(&neon_kernels);
    }
#endif
    usable.push_back(&portable_kernels);
    return usable;
}

}  // namespace

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const Kernels* kernels : usable_kernels()) {
        names.emplace_back(kernels->name);
    }
    return names;
}

const Kernels& choose_kernels(const std::string& name) {
    std::string known = "auto";
    for (const Kernels* kernels : usable_kernels()) {
        if (name == "auto" || name == kernels->name) {
            return *kernels;
        }
        known += std::string(", ") + kernels->name;
    }
    throw std::invalid_argument("instruction_set '" + name +
                                "' is not one that this machine can run; choose from " + known);
}

}  // namespace secondpass
