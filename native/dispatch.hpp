// Which kernels run? Those of the best instruction set that this processor has, or a named one.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace secondpass {

// The names of the kernel tables that this machine can run, best first; the last is "portable".
std::vector<std::string> kernel_names();

// The table of this name, the best one for "auto". Throws std::invalid_argument for a name that is
// not among kernel_names().
const Kernels& choose_kernels(const std::string& name);

}  // namespace secondpass
