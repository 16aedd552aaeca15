// The kernels for 'avx2'. Nothing else is compiled with this file's flags.
#include "simd_avx2.hpp"

#include "kernel_table.hpp"

namespace secondpass {

extern const Kernels avx2_kernels;
const Kernels avx2_kernels = kernel_table<Avx2>("avx2");

}  // namespace secondpass
