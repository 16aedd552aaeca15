#include "probes.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu.hpp"

namespace secondpass {

#if defined(SECONDPASS_AVX2)
extern const Probe avx2_probe;
#endif
#if defined(SECONDPASS_AVX512)
extern const Probe avx512_probe;
#endif

namespace {

using Clock = std::chrono::steady_clock;

// Plain C++ with an operation count a step as low as what a compiler may make of it: other
// processors get a lower peak than they have, until they get a probe of their own.
template <class Number>
float plain(std::size_t steps) {
    constexpr std::size_t sums = 32;
    Number sum[sums] = {};
    volatile int seed = 3;
    const Number a = static_cast<Number>(seed);
    for (std::size_t step = 0; step < steps; ++step) {
        const Number b = static_cast<Number>(step & 7U);
        for (auto& one : sum) one += a * b;
    }
    float total = 0.0F;
    for (const auto& one : sum) total += static_cast<float>(one);
    return total;
}

const Probe portable_probe{"portable", plain<unsigned>, 64, plain<float>, 64};

const Probe& best_probe() {
    [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
#if defined(SECONDPASS_AVX512)
    if (cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512_vnni) return avx512_probe;
#endif
#if defined(SECONDPASS_AVX2)
    if (cpu.avx2 && cpu.fma) return avx2_probe;
#endif
    return portable_probe;
}

double seconds(float (*probe)(std::size_t), std::size_t steps) {
    volatile float kept = 0.0F;
    const auto start = Clock::now();
    kept = probe(steps);
    static_cast<void>(kept);
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Operations a second of all threads together: each takes its best of some stretches, for what else
// runs on the machine only ever slows them.
double rate(float (*probe)(std::size_t), std::size_t operations, std::size_t threads) {
    constexpr int stretches = 12;
    constexpr double stretch_s = 0.008;
    std::size_t steps = 1000;
    while (seconds(probe, steps) < stretch_s) steps *= 2;
    std::vector<double> best(threads, 0.0);
    std::vector<std::thread> running;
    for (double& own : best) {
        running.emplace_back([&own, probe, steps] {
            for (int at = 0; at < stretches; ++at) {
                own = std::max(own, static_cast<double>(steps) / seconds(probe, steps));
            }
        });
    }
    double total = 0.0;
    for (std::size_t at = 0; at < threads; ++at) {
        running[at].join();
        total += best[at];
    }
    return total * static_cast<double>(operations);
}

}  // namespace

std::map<std::string, double> peaks(std::size_t threads) {
    if (threads < 1) {
        throw std::invalid_argument("threads=0; expected 1 or more");
    }
    const Probe& probe = best_probe();
    return {{"int8_gops", rate(probe.int8, probe.int8_operations, threads) / 1e9},
            {"fp32_gflops", rate(probe.fp32, probe.fp32_operations, threads) / 1e9}};
}

}  // namespace secondpass
