// The Python face of the native kernels: conversions only, no computing.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "cpu.hpp"

namespace nb = nanobind;

NB_MODULE(_native, module) {
    module.doc() = "The native kernels of secondpass.";
    module.def("instruction_sets", &secondpass::instruction_sets,
               "The vector instruction sets that this processor and operating system can run, by "
               "name; empty on an unknown architecture.");
}
