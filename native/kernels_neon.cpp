// The kernels for 'neon_dotprod'. Nothing else is compiled with this file's flags.
#include "simd_neon.hpp"

#include "kernel_table.hpp"

namespace secondpass {

extern const Kernels neon_kernels;
const Kernels neon_kernels = kernel_table<Neon>("neon_dotprod");

}  // namespace secondpass
