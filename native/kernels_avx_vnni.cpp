// The kernels for 'avx_vnni'. Nothing else is compiled with this file's flags.
#include "simd_avx_vnni.hpp"

#include "kernel_table.hpp"

namespace secondpass {

extern const Kernels avx_vnni_kernels;
const Kernels avx_vnni_kernels = kernel_table<AvxVnni>("avx_vnni");

}  // namespace secondpass
