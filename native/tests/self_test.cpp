// Every table of kernels that this machine can run, on random numbers: against double precision, or
// against the portable table. Needs no Python, so that it can be cross-compiled and run under an
// emulator. Exits with 1 at a failure.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "exact.hpp"
#include "linear.hpp"

namespace {

using namespace secondpass;
using Sizes = std::vector<std::size_t>;

std::mt19937 random_bits(7);  // the standard fixes its numbers, so that every machine tests the same

float uniform(float most) {
    const auto unit = static_cast<float>(random_bits() >> 8) / static_cast<float>(1 << 24);
    return (2.0F * unit - 1.0F) * most;
}

Floats uniforms(std::size_t count, float most) {
    Floats values(count);
    std::generate(values.begin(), values.end(), [&] { return uniform(most); });
    return values;
}

Tensor matrix(const Floats& values, std::size_t rows) {
    Tensor tensor;
    tensor.data = values.data();
    tensor.rows = rows;
    tensor.columns = values.size() / rows;
    return tensor;
}

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

void expect_close(const Floats& found, const Floats& expected, float tolerance, const char* what) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (!(std::fabs(found[i] - expected[i]) <= tolerance)) {
            fail(std::string(what) + ": number " + std::to_string(i) + " is " +
                 std::to_string(found[i]) + ", expected " + std::to_string(expected[i]));
        }
    }
}

// Rows of `count` numbers with room for `axis.padded`, zeros in it.
Floats padded_rows(const Floats& values, const Axis& axis) {
    Floats padded(values.size() / axis.count * axis.padded, 0.0F);
    for (std::size_t i = 0; i < values.size(); ++i) {
        padded[i / axis.count * axis.padded + axis.place(i % axis.count)] = values[i];
    }
    return padded;
}

Floats plain_rows(const Floats& padded, const Axis& axis) {
    Floats values(padded.size() / axis.padded * axis.count);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = padded[i / axis.count * axis.padded + axis.place(i % axis.count)];
    }
    return values;
}

struct Product {
    std::size_t rows, inputs, outputs;
    Precision precision;
    Activation activation;
    bool residual;
    Outliers outliers;
};

// Rows as an int8 layer reads them.
struct Quantised {
    std::vector<char> levels;
    Floats scales, extras;
};

Quantised quantised(const Kernels& kernels, const Linear& linear, const Floats& rows) {
    QuantiseCall call = linear.quantising();
    const std::size_t width = call.padded, extras = call.outlier_count + 1;
    const std::size_t count = rows.size() / width;
    Quantised out{std::vector<char>(rows.size() * kernels.level_bytes), Floats(count),
                  Floats(count * extras)};
    for (std::size_t row = 0; row < count; ++row) {
        call.row = rows.data() + row * width;
        call.levels = out.levels.data() + row * width * kernels.level_bytes;
        call.extras = out.extras.data() + row * extras;
        out.scales[row] = kernels.quantise(call);
    }
    return out;
}

Floats levels_of(const Kernels& kernels, const void* levels, std::size_t count) {
    Floats values(count);
    for (std::size_t i = 0; i < count; ++i) {
        const char* at = static_cast<const char*>(levels) + i * kernels.level_bytes;
        if (kernels.level_bytes == sizeof(float)) {
            std::memcpy(&values[i], at, sizeof(float));
        } else if (kernels.level_bytes == sizeof(std::int16_t)) {
            std::int16_t level;
            std::memcpy(&level, at, sizeof level);
            values[i] = level;
        } else {
            const auto byte = static_cast<unsigned char>(*at);
            const int level = kernels.zero_level == 0 && byte > 127 ? byte - 256 : byte;
            values[i] = static_cast<float>(level - kernels.zero_level);
        }
    }
    return values;
}

// The product as one table computes it; `together` false gives it one row after another.
Floats product(const Kernels& kernels, const Product& of, const Floats& weights, const Floats& bias,
               const Floats& in, const Floats& residual, bool together) {
    const Axis from = plain_axis(of.inputs, kernels), to = plain_axis(of.outputs, kernels);
    Linear linear(from.padded, to.padded, of.precision, kernels, of.outliers);
    linear.set(matrix(weights, of.outputs), matrix(bias, 1), from, to);
    const Floats rows = padded_rows(in, from), added = padded_rows(residual, to);
    Floats out(of.rows * to.padded, 0.0F);
    const bool int8 = of.precision == Precision::int8;
    const Quantised levels = int8 ? quantised(kernels, linear, rows) : Quantised{};
    const std::size_t row_bytes = from.padded * (int8 ? kernels.level_bytes : sizeof(float));
    const void* start = int8 ? static_cast<const void*>(levels.levels.data()) : rows.data();
    LinearCall call{};
    call.weights = linear.packed();
    call.end_panel = to.padded / kernels.panel;
    call.out_stride = to.padded;
    call.activation = of.activation;
    call.rows = together ? of.rows : 1;
    for (std::size_t row = 0; row < of.rows; row += call.rows) {
        call.in = static_cast<const char*>(start) + row * row_bytes;
        call.in_scales = levels.scales.data() + row;
        call.in_extras = levels.extras.data() + row * call.weights.extras;
        call.out = out.data() + row * to.padded;
        call.residual = of.residual ? added.data() + row * to.padded : nullptr;
        (int8 ? kernels.linear_int8 : kernels.linear_fp32)(call);
    }
    return plain_rows(out, to);
}

// Up to three of an activation's channels, each once, as places of a plain axis.
Outliers draw_outliers(std::size_t inputs) {
    Outliers outliers;
    for (std::size_t at = random_bits() % 3; at < inputs && outliers.size() < 3; at += 5) {
        outliers.push_back(static_cast<std::uint32_t>(at));
    }
    return outliers;
}

void products(const Kernels& kernels, const Kernels& portable) {
    const Activation activations[] = {Activation::none,       Activation::gelu, Activation::gelu_tanh,
                                      Activation::quick_gelu, Activation::relu, Activation::silu};
    std::size_t next = 0;
    for (const std::size_t inputs : Sizes{1, 7, 32, 100, 384}) {
        for (const std::size_t outputs : Sizes{1, 36, 64, 130}) {
            for (const Precision precision : {Precision::fp32, Precision::int8}) {
                const std::size_t rows = 1 + random_bits() % 15;
                const Activation activation = activations[next++ % 6];
                const Product of{rows, inputs, outputs, precision, activation,
                                 activation == Activation::none,
                                 random_bits() % 2 == 0 ? Outliers{} : draw_outliers(inputs)};
                const Floats weights = uniforms(inputs * outputs, 1.0F);
                const Floats bias = uniforms(outputs, 1.0F);
                const Floats in = uniforms(rows * inputs, 2.0F);
                const Floats residual = uniforms(rows * outputs, 1.0F);
                const Floats found = product(kernels, of, weights, bias, in, residual, true);
                const Floats alone = product(kernels, of, weights, bias, in, residual, false);
                if (std::memcmp(found.data(), alone.data(), found.size() * sizeof(float)) != 0) {
                    fail("a row of a product differs in other company");
                }
                const Floats expected = product(portable, of, weights, bias, in, residual, true);
                expect_close(found, expected, 2e-6F * static_cast<float>(inputs) + 1e-5F, "product");
            }
        }
    }
}

// Of int8 with outliers, to the error that half a level of a weight and of an input can make.
void outliers(const Kernels& kernels, const Kernels&) {
    constexpr std::size_t inputs = 96, outputs = 40;
    const Product of{1, inputs, outputs, Precision::int8, Activation::none, false, {3, 95}};
    const Floats weights = uniforms(inputs * outputs, 1.0F), bias = uniforms(outputs, 1.0F);
    Floats in = uniforms(inputs, 1.0F);
    for (float& x : in) {
        x += 20.0F;  // the levels lie around the middle of a row
    }
    in[3] = 1e4F;
    in[95] = -3e4F;
    const Floats found = product(kernels, of, weights, bias, in, {}, true);
    for (std::size_t output = 0; output < outputs; ++output) {
        double exact = bias[output], error = 0.1;  // float32's, of sums around 3e4
        for (std::size_t i = 0; i < inputs; ++i) {
            const double weight = weights[output * inputs + i];
            exact += weight * in[i];
            // A level of an input is 1/127, of a weight the same; an input is 1 from the middle.
            error += in[i] < 100.0F && in[i] > 0.0F ? (std::fabs(weight) + 1.1) / 127.0 / 2.0 : 0.0;
        }
        if (!(std::fabs(found[output] - exact) <= error)) {
            fail("a product with outliers is " + std::to_string(found[output]) + ", expected " +
                 std::to_string(exact));
        }
    }
}

void levels(const Kernels& kernels, const Kernels& portable) {
    const auto find = [](const Kernels& table, const Floats& row, const Outliers& outliers) {
        return quantised(table, Linear(256, 64, Precision::int8, table, outliers), row);
    };
    for (const float most : {1e-35F, 1e-3F, 1.0F, 1e30F}) {
        for (const Outliers& outliers : {Outliers{}, Outliers{7, 200}}) {
            const Floats row = uniforms(256, most);
            const Quantised found = find(kernels, row, outliers);
            const Quantised expected = find(portable, row, outliers);
            expect_close(found.scales, expected.scales, 0.0F, "scale");
            expect_close(found.extras, expected.extras, 0.0F, "extra");
            expect_close(levels_of(kernels, found.levels.data(), 256),
                         levels_of(portable, expected.levels.data(), 256), 0.0F, "level");
        }
    }
    for (const float wrong : {INFINITY, -INFINITY, NAN}) {
        for (const Outliers& outliers : {Outliers{}, Outliers{100}}) {
            Floats row = uniforms(256, 1.0F);
            row[outliers.empty() ? random_bits() % 256 : 100] = wrong;
            if (!std::isnan(find(kernels, row, outliers).scales[0])) {
                fail("a row that is not finite has a scale that is a number");
            }
        }
    }
}

// Of one number: weight 1, bias 0.
void activations(const Kernels& kernels, const Kernels&) {
    for (const Activation activation : {Activation::gelu, Activation::gelu_tanh,
                                        Activation::quick_gelu, Activation::relu,
                                        Activation::silu}) {
        Floats in = uniforms(2000, 12.0F);
        in.insert(in.end(), {0.0F, 1e-30F, -1e-30F, 90.0F, -90.0F, 1e30F, -1e30F});
        const Product of{in.size(), 1, 1, Precision::fp32, activation, false, {}};
        const Floats found = product(kernels, of, {1.0F}, {0.0F}, in, {}, true);
        for (std::size_t i = 0; i < in.size(); ++i) {
            const double exact = exact_activation(activation, in[i]);
            if (!(std::fabs(found[i] - exact) <= 4e-7 * (1.0 + std::fabs(exact)))) {
                fail("the activation of " + std::to_string(in[i]) + " is " +
                     std::to_string(found[i]) + ", expected " + std::to_string(exact));
            }
        }
    }
}

using Attend = void (*Kernels::*)(const AttentionCall&);

Floats attention(const Kernels& kernels, Attend attend, const Floats& in, const Heads& of,
                 std::size_t queries) {
    const auto [tokens, heads, head] = of;
    const Axis axis = heads_axis(heads, head, kernels);
    const Floats rows = padded_rows(in, axis);
    const std::size_t part = tokens * axis.padded;
    Floats out(queries * axis.padded, 0.0F);
    Floats scratch(kernels.attention_scratch(tokens, axis.padded_block));
    AttentionCall call{};
    call.query = rows.data();
    call.key = rows.data() + part;
    call.value = rows.data() + 2 * part;
    call.query_stride = call.key_stride = call.out_stride = axis.padded;
    call.queries = queries;
    call.tokens = tokens;
    call.heads = heads;
    call.head_width = axis.padded_block;
    call.scale = 0.5F;
    call.out = out.data();
    call.scratch = scratch.data();
    (kernels.*attend)(call);
    return plain_rows(out, axis);
}

void attentions(const Kernels& kernels, const Kernels&) {
    for (const std::size_t tokens : Sizes{1, 2, 5, 16, 33, 130}) {
        for (const std::size_t head : Sizes{3, 16, 32, 40}) {
            const Heads of{tokens, 1 + random_bits() % 3, head};
            const Floats in = uniforms(3 * tokens * of.heads * head, 2.0F);
            const Floats exact = exact_attention(in, of);
            for (const auto& [attend, tolerance] :
                 {std::pair{&Kernels::attend_fp32, 2e-5F}, std::pair{&Kernels::attend_int8, 2e-3F}}) {
                const Floats found = attention(kernels, attend, in, of, tokens);
                expect_close(found, exact, tolerance, "attention");
            }
            const Floats together = attention(kernels, &Kernels::attend_fp32, in, of, tokens);
            const Floats first = attention(kernels, &Kernels::attend_fp32, in, of, 1);
            if (std::memcmp(first.data(), together.data(), first.size() * sizeof(float)) != 0) {
                fail("the first token's attention differs when computed alone");
            }
        }
    }
}

// What softmax does with scores that lie far apart: two tokens, of which the mix shows the second.
void powers(const Kernels& kernels, const Kernels&) {
    for (float apart = -80.0F; apart < 80.0F; apart += 0.37F) {
        const Floats in = {1.0F, 1.0F, 0.0F, 2.0F * apart, 0.0F, 1.0F};
        const double exact = 1.0 / (1.0 + std::exp(-double{apart}));
        const float found = attention(kernels, &Kernels::attend_fp32, in, {2, 1, 1}, 1)[0];
        if (!(std::fabs(found - exact) <= exact * (4e-7 + 1.2e-7 * std::fabs(apart)))) {
            fail("softmax of " + std::to_string(apart) + " is off by a share of " +
                 std::to_string(found / exact - 1.0));
        }
    }
}

void not_finite(const Kernels& kernels, const Kernels&) {
    for (const Attend attend : {&Kernels::attend_fp32, &Kernels::attend_int8}) {
        for (const std::size_t part : Sizes{0, 1, 2}) {  // query, key, value
            for (const float wrong : {INFINITY, -INFINITY, NAN}) {
                Floats in = uniforms(3 * 5 * 16, 1.0F);
                in[part * 5 * 16] = wrong;
                const float found = attention(kernels, attend, in, {5, 1, 16}, 5)[0];
                // One infinite key may have a score of minus infinity, and so no weight.
                if (std::isfinite(found) && !(part == 1 && std::isinf(wrong))) {
                    fail("attention makes a number of what is not finite");
                }
            }
        }
    }
    Floats in = uniforms(3 * 5 * 16, 1.0F);
    in[0] = INFINITY;
    for (std::size_t token = 0; token < 5; ++token) {
        in[(5 + token) * 16] = -1.0F;  // all scores are minus infinity
    }
    if (std::isfinite(attention(kernels, &Kernels::attend_fp32, in, {5, 1, 16}, 1)[0])) {
        fail("attention makes a number of an infinite query");
    }
}

void norms(const Kernels& kernels, const Kernels& portable) {
    for (const std::size_t count : Sizes{1, 5, 36, 64, 384}) {
        const Axis axis = plain_axis(count, kernels), plain = plain_axis(count, portable);
        const Floats row = uniforms(count, 3.0F), weight = uniforms(count, 1.0F);
        const Floats bias = uniforms(count, 1.0F);
        Floats found = padded_rows(row, axis), expected = padded_rows(row, plain);
        kernels.normalise({found.data(), count, axis.padded, padded_rows(weight, axis).data(),
                           padded_rows(bias, axis).data(), 1e-5F});
        portable.normalise({expected.data(), count, plain.padded, padded_rows(weight, plain).data(),
                            padded_rows(bias, plain).data(), 1e-5F});
        expect_close(plain_rows(found, axis), plain_rows(expected, plain), 1e-5F, "norm");
        for (std::size_t i = count; i < axis.padded; ++i) {
            if (found[i] != 0.0F) {
                fail("a norm writes into the padding");
            }
        }
    }
}

}  // namespace

int main() {
    const Kernels& portable = choose_kernels("portable");
    const struct {
        const char* name;
        void (*run)(const Kernels&, const Kernels&);
    } checks[] = {{"products", products}, {"levels", levels}, {"attention", attentions},
                  {"outliers", outliers}, {"activations", activations}, {"powers", powers},
                  {"not finite", not_finite}, {"norms", norms}};
    int failures = 0;
    for (const std::string& name : kernel_names()) {
        for (const auto& check : checks) {
            try {
                check.run(choose_kernels(name), portable);
                std::printf("%s %s: good\n", name.c_str(), check.name);
            } catch (const std::exception& error) {
                std::printf("%s %s: FAILED, %s\n", name.c_str(), check.name, error.what());
                ++failures;
            }
        }
    }
    return failures == 0 ? 0 : 1;
}
