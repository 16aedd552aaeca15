// The kernels for 'portable'. Nothing else is compiled with this file's flags.
#include "simd_portable.hpp"

#include "kernel_table.hpp"

namespace secondpass {

extern const Kernels portable_kernels;
const Kernels portable_kernels = kernel_table<Portable>("portable");

}  // namespace secondpass
