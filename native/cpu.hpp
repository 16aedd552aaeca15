// What this processor and operating system can run, found out at run time.
#pragma once

#include <string>
#include <vector>

namespace secondpass {

// True where the processor has the instructions and the operating system saves their registers.
struct CpuFeatures {
    bool sse4_2 = false;
    bool avx2 = false;
    bool fma = false;
    bool avx_vnni = false;
    bool avx512f = false;
    bool avx512bw = false;
    bool avx512vl = false;
    bool avx512_vnni = false;
    bool avx512_bf16 = false;
    // Linux hands the tile registers out on request: arch_prctl(ARCH_REQ_XCOMP_PERM) comes first.
    bool amx_tile = false;
    bool amx_int8 = false;
    bool neon = false;
    bool dotprod = false;
    bool i8mm = false;
};

// Found once, on the first call; safe from any thread.
const CpuFeatures& cpu_features();

// The names of the features that are true, in the order above; as Linux writes them for x86.
std::vector<std::string> instruction_sets();

}  // namespace secondpass
