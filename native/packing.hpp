// How are rows shared out to threads? In packs of about equal numbers of tokens, longest rows first.
#pragma once

#include <cstddef>
#include <vector>

#include "model.hpp"

namespace secondpass {

std::vector<std::vector<std::size_t>> plan_packs(const Rows& rows, std::size_t threads);

}  // namespace secondpass
