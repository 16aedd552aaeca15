// What static encoders need of the native module.
#pragma once

#include <nanobind/nanobind.h>

namespace secondpass {

void bind_static(nanobind::module_& module);

}  // namespace secondpass
