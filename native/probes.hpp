// What can the multipliers do? Loops that touch registers only, one set for each instruction set.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace secondpass {

// One step of a probe is a call of it with 1; it returns what it did to keep the compiler from
// dropping it. `*_operations` count a multiplication and its addition as two.
struct Probe {
    const char* name;
    float (*int8)(std::size_t steps);
    std::size_t int8_operations;  // a step
    float (*fp32)(std::size_t steps);
    std::size_t fp32_operations;
};

// int8_gops and fp32_gflops, in 10^9 operations a second, that so many threads reach together with
// the best instruction set of this machine. Takes about a quarter of a second.
std::map<std::string, double> peaks(std::size_t threads);

}  // namespace secondpass
