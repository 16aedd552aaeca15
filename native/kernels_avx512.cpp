// The kernels for 'avx512_vnni'. Nothing else is compiled with this file's flags.
#include "simd_avx512.hpp"

#include "kernel_table.hpp"

namespace secondpass {

extern const Kernels avx512_kernels;
const Kernels avx512_kernels = kernel_table<Avx512>("avx512_vnni");

}  // namespace secondpass
