// Every table of kernels that this machine can run against the portable one, on random numbers. Needs
// no Python, so that it can be cross-compiled and run under an emulator. Exits with 1 at a failure.
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
#include "linear.hpp"

namespace {

using namespace secondpass;
using Floats = std::vector<float>;
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
};

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
    Linear linear(from.padded, to.padded, of.precision, kernels);
    linear.set(matrix(weights, of.outputs), matrix(bias, 1), from, to);
    const Floats rows = padded_rows(in, from), added = padded_rows(residual, to);
    Floats out(of.rows * to.padded, 0.0F), scales(of.rows, 0.0F);
    std::vector<char> levels(rows.size() * kernels.level_bytes);
    LinearCall call{rows.data(), nullptr, of.rows, linear.packed(), 0, to.padded / kernels.panel,
                    out.data(), to.padded, of.residual ? added.data() : nullptr, of.activation};
    std::size_t bytes = sizeof(float);
    if (of.precision == Precision::int8) {
        for (std::size_t row = 0; row < of.rows; ++row) {
            scales[row] = kernels.quantise(rows.data() + row * from.padded, from.padded,
                                           levels.data() + row * from.padded * kernels.level_bytes);
        }
        call.in = levels.data();
        call.in_scales = scales.data();
        bytes = kernels.level_bytes;
    }
    const auto run = of.precision == Precision::int8 ? kernels.linear_int8 : kernels.linear_fp32;
    if (together) {
        run(call);
        return plain_rows(out, to);
    }
    for (std::size_t row = 0; row < of.rows; ++row) {
        LinearCall one = call;
        one.rows = 1;
        one.in = static_cast<const char*>(call.in) + row * from.padded * bytes;
        one.in_scales = scales.data() + row;
        one.out = out.data() + row * to.padded;
        one.residual = of.residual ? added.data() + row * to.padded : nullptr;
        run(one);
    }
    return plain_rows(out, to);
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
                                 activation == Activation::none};
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

void levels(const Kernels& kernels, const Kernels& portable) {
    for (const float most : {1e-35F, 1e-3F, 1.0F, 1e30F}) {
        const Floats row = uniforms(256, most);
        std::vector<char> found(256 * kernels.level_bytes), expected(256 * portable.level_bytes);
        const float scale = kernels.quantise(row.data(), 256, found.data());
        const float portable_scale = portable.quantise(row.data(), 256, expected.data());
        if (std::memcmp(&scale, &portable_scale, sizeof scale) != 0) {
            fail("the scales of a row differ");
        }
        expect_close(levels_of(kernels, found.data(), 256),
                     levels_of(portable, expected.data(), 256), 0.0F, "level");
    }
    for (const float wrong : {INFINITY, -INFINITY, NAN}) {
        Floats row = uniforms(256, 1.0F);
        row[random_bits() % 256] = wrong;
        std::vector<char> room(256 * kernels.level_bytes);
        if (!std::isnan(kernels.quantise(row.data(), 256, room.data()))) {
            fail("a row that is not finite has a scale that is a number");
        }
    }
}

Floats attention(const Kernels& kernels, const Floats& in, std::size_t tokens, std::size_t queries,
                 std::size_t heads, std::size_t head) {
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
    kernels.attend(call);
    return plain_rows(out, axis);
}

void attentions(const Kernels& kernels, const Kernels& portable) {
    for (const std::size_t tokens : Sizes{1, 2, 5, 16, 33, 130}) {
        for (const std::size_t head : Sizes{3, 16, 32, 40}) {
            const std::size_t heads = 1 + random_bits() % 3;
            const Floats in = uniforms(3 * tokens * heads * head, 2.0F);
            const Floats expected = attention(portable, in, tokens, tokens, heads, head);
            const Floats found = attention(kernels, in, tokens, tokens, heads, head);
            expect_close(found, expected, 2e-4F, "attention");
            const Floats first = attention(kernels, in, tokens, 1, heads, head);
            if (std::memcmp(first.data(), found.data(), first.size() * sizeof(float)) != 0) {
                fail("the first token's attention differs when computed alone");
            }
        }
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
                  {"norms", norms}};
    int failures = 0;
    for (const std::string& name : kernel_names()) {
        for (const auto& check : checks) {
            try {
                check.run(choose_kernels(name), portable);
                std::printf("%s %s: as the portable kernels\n", name.c_str(), check.name);
            } catch (const std::exception& error) {
                std::printf("%s %s: FAILED, %s\n", name.c_str(), check.name, error.what());
                ++failures;
            }
        }
    }
    return failures == 0 ? 0 : 1;
}
