// Any bytes as a model and rows for it: the constructor and `check` must refuse with
// std::invalid_argument what does not fit, and what they let pass must compute without a fault, to the
// same bits alone and in company. For libFuzzer.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "model.hpp"
#include "packing.hpp"

namespace {

using namespace secondpass;

// The input, byte by byte; zeros behind its end.
class Bytes {
public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::uint8_t byte() { return at_ < size_ ? data_[at_++] : std::uint8_t{0}; }
    std::size_t below(std::size_t end) { return byte() % end; }
    bool rarely() { return byte() == 255; }
    template <class T>
    T raw() {
        std::uint8_t bytes[sizeof(T)];
        for (std::uint8_t& each : bytes) {
            each = byte();
        }
        T value;
        std::memcpy(&value, bytes, sizeof value);
        return value;
    }

private:
    const std::uint8_t* data_;
    std::size_t size_, at_ = 0;
};

constexpr const char* activations[] = {"gelu", "gelu_tanh", "quick_gelu", "relu", "silu"};
constexpr const char* heads[] = {"logit", "cls", "mean"};

// Channels of the first layer's activations; now and then of no layer, or beyond the last channel.
std::map<std::string, std::vector<std::uint32_t>> draw_outliers(Bytes& in, const Shape& shape) {
    std::map<std::string, std::vector<std::uint32_t>> outliers;
    for (const char* name : {"attention.self", "attention.output.dense", "intermediate.dense",
                             "output.dense", "none"}) {
        std::vector<std::uint32_t>& channels = outliers["encoder.layer.0." + std::string(name)];
        const std::size_t count = in.below(4);
        const bool inner = std::strcmp(name, "output.dense") == 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t channel = in.below(inner ? shape.intermediate : shape.hidden);
            channels.push_back(in.rarely() ? in.raw<std::uint32_t>()
                                           : static_cast<std::uint32_t>(channel));
        }
    }
    return outliers;
}

Shape draw_shape(Bytes& in) {
    Shape shape;
    shape.heads = 1 + in.below(4);
    shape.hidden = shape.heads * (1 + in.below(20));
    shape.layers = 1 + in.below(3);
    shape.intermediate = 1 + in.below(80);
    shape.vocabulary = 1 + in.below(40);
    shape.positions = 1 + in.below(48);
    shape.padding_id = static_cast<std::int32_t>(in.below(4)) - 1;
    shape.activation = activations[in.below(5)];
    shape.head = heads[in.below(3)];
    shape.join_layer = in.rarely() ? in.below(5) : in.below(shape.layers);
    if (shape.join_layer > 0 && !in.rarely()) shape.head = "logit";
    if (in.rarely()) shape.activation = "none";
    if (in.rarely()) shape.head = "none";
    if (in.rarely()) shape.eps = in.raw<float>();
    if (in.rarely()) shape.padding_id = in.raw<std::int32_t>();
    if (in.below(2) == 0) shape.outliers = draw_outliers(in, shape);
    // Sizes that no tensor has: to be refused before anything of that size is made.
    for (std::size_t* size : {&shape.hidden, &shape.layers, &shape.heads, &shape.vocabulary,
                              &shape.positions, &shape.join_layer}) {
        if (in.rarely()) *size = in.raw<std::size_t>();
    }
    return shape;
}

// A tensor in blocks of 4 bits, of whatever levels and, now and then, scales.
Tensor draw_blocks(Bytes& in, std::size_t rows, std::size_t columns) {
    Tensor tensor;
    tensor.dtype = Dtype::q4;
    tensor.rows = rows;
    tensor.columns = columns;
    auto levels = std::make_shared<std::vector<std::uint8_t>>(rows * columns / 2);
    const std::uint8_t seed = in.byte();
    for (std::size_t i = 0; i < levels->size(); ++i) {
        (*levels)[i] = static_cast<std::uint8_t>(i * 37 + seed * 11);
    }
    constexpr std::uint16_t small = 0x2400;  // 1/64
    auto scales = std::make_shared<std::vector<std::uint16_t>>(rows * columns / q4_block, small);
    if (in.rarely() && !scales->empty()) (*scales)[0] = in.raw<std::uint16_t>();
    tensor.data = levels->data();
    tensor.block_scales = scales->data();
    tensor.owner = std::make_shared<std::pair<decltype(levels), decltype(scales)>>(levels, scales);
    return tensor;
}

// A tensor of the shape that is asked for, or now and then of another; memory of exactly its size.
Tensor draw_tensor(Bytes& in, std::size_t rows, std::size_t columns) {
    constexpr Dtype dtypes[] = {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i8};
    constexpr std::size_t widths[] = {4, 2, 2, 1};
    Tensor tensor;
    const std::size_t drawn = in.below(rows > 1 ? 5 : 3);
    if (drawn == 4 && columns % q4_block == 0) return draw_blocks(in, rows, columns);
    const std::size_t kind = drawn % 4;
    tensor.dtype = dtypes[kind];
    tensor.rows = in.rarely() ? in.below(9) : rows;
    tensor.columns = in.rarely() ? in.below(9) : columns;
    const std::size_t count = tensor.rows * tensor.columns;
    auto values = std::make_shared<std::vector<std::uint8_t>>(count * widths[kind]);
    const bool wild = in.rarely();
    const std::uint8_t seed = in.byte();
    for (std::size_t i = 0; i < count; ++i) {
        std::uint8_t* to = values->data() + i * widths[kind];
        const auto small = static_cast<std::int8_t>((i * 37 + seed * 11) % 255);
        const float value = static_cast<float>(small) / 64.0F;
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        if (wild && in.byte() > 200) bits = in.raw<std::uint32_t>();
        if (kind == 0) std::memcpy(to, &bits, 4);
        const auto high = static_cast<std::uint16_t>(bits >> 16);
        if (kind == 1 || kind == 2) std::memcpy(to, &high, 2);
        if (kind == 3) std::memcpy(to, &small, 1);
    }
    auto scales = std::make_shared<std::vector<float>>(tensor.rows, 0.02F);
    if (wild && !scales->empty()) (*scales)[0] = in.raw<float>();
    tensor.data = values->data();
    tensor.scales = scales->data();
    tensor.owner = std::make_shared<std::pair<decltype(values), decltype(scales)>>(values, scales);
    return tensor;
}

Tensors draw_tensors(Bytes& in, const Shape& shape) {
    Tensors tensors;
    const auto add = [&](const std::string& name, std::size_t rows, std::size_t columns) {
        if (!in.rarely()) tensors.emplace(name, draw_tensor(in, rows, columns));
    };
    const auto linear = [&](const std::string& name, std::size_t rows, std::size_t columns) {
        add(name + ".weight", rows, columns);
        add(name + ".bias", 1, rows);
    };
    const std::size_t wide = shape.hidden, inner = shape.intermediate;
    add("embeddings.word_embeddings.weight", shape.vocabulary, wide);
    add("embeddings.position_embeddings.weight", shape.positions, wide);
    if (in.below(2) == 0 || shape.join_layer > 0) {
        add("embeddings.token_type_embeddings.weight", 1 + in.below(3), wide);
    }
    add("embeddings.LayerNorm.weight", 1, wide);
    add("embeddings.LayerNorm.bias", 1, wide);
    const auto layer = [&](const std::string& at) {
        for (const char* part : {"query", "key", "value"}) {
            linear(at + "attention.self." + part, wide, wide);
        }
        linear(at + "attention.output.dense", wide, wide);
        linear(at + "intermediate.dense", inner, wide);
        linear(at + "output.dense", wide, inner);
        for (const char* norm : {"attention.output.LayerNorm", "output.LayerNorm"}) {
            add(at + norm + ".weight", 1, wide);
            add(at + norm + ".bias", 1, wide);
        }
    };
    for (std::size_t at = 0; at < shape.layers; ++at) {
        layer("encoder.layer." + std::to_string(at) + ".");
    }
    if (shape.join_layer > 0) {
        for (std::size_t at = shape.join_layer; at < shape.layers; ++at) {
            layer("apart.layer." + std::to_string(at) + ".");
        }
        add("join.sides.weight", 4, wide);
        add("join.cosine", 1, 1);
    }
    linear("dense", wide, wide);
    linear("logit", 1, wide);
    return tensors;
}

struct DrawnRows {
    std::vector<std::int32_t> ids, types;
    Rows rows{nullptr, nullptr, {0}};

    DrawnRows(Bytes& in, const Shape& shape) {
        const std::size_t count = in.below(6);
        for (std::size_t row = 0; row < count; ++row) {
            const std::size_t length = in.rarely() ? in.below(80) : 1 + in.below(shape.positions);
            std::size_t query = length;
            if (shape.join_layer > 0 && !in.rarely()) query = 1 + in.below(length > 2 ? length - 1 : 1);
            for (std::size_t token = 0; token < length; ++token) {
                ids.push_back(in.rarely() ? in.raw<std::int32_t>()
                                          : static_cast<std::int32_t>(in.below(shape.vocabulary)));
                types.push_back(in.rarely() ? in.raw<std::int32_t>() : token < query ? 0 : 1);
            }
            rows.starts.push_back(ids.size());
        }
        rows.ids = ids.data();
        rows.types = types.data();
    }
};

// To the bit; but of one NaN and another nothing is promised.
bool same(float a, float b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

void compute(const Model& model, const Rows& rows, std::size_t threads) {
    const std::size_t outputs = model.outputs();
    std::vector<float> together(rows.count() * outputs, std::numeric_limits<float>::infinity());
    std::vector<float> alone = together;
    Workspace memory;
    for (const auto& pack : plan_packs(rows, threads)) {
        model.forward(rows, pack, memory, together.data());
    }
    for (std::size_t row = 0; row < rows.count(); ++row) {
        Workspace own;
        model.forward(rows, {row}, own, alone.data());
    }
    for (std::size_t i = 0; i < alone.size(); ++i) {
        if (!same(alone[i], together[i])) {
            std::fprintf(stderr, "output %zu is %g alone and %g in company\n", i,
                         static_cast<double>(alone[i]), static_cast<double>(together[i]));
            std::abort();
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes in(data, size);
    const std::vector<std::string> names = kernel_names();
    const Kernels& kernels = choose_kernels(names[in.below(names.size())]);
    const Precision precision = in.below(2) == 0 ? Precision::fp32 : Precision::int8;
    const std::size_t threads = 1 + in.below(3);
    const Shape shape = draw_shape(in);
    Shape drawn = shape;  // what the tensors are made for: sizes that fit into memory
    for (std::size_t* part : {&drawn.hidden, &drawn.layers, &drawn.heads, &drawn.vocabulary,
                              &drawn.positions}) {
        *part = *part % 128 + (*part % 128 == 0 ? 1 : 0);
    }
    drawn.layers = drawn.layers % 4 + (drawn.layers % 4 == 0 ? 1 : 0);
    // The rows come first: most inputs end before the last tensor, and zeros make a tensor as good.
    const DrawnRows rows(in, drawn);
    const Tensors tensors = draw_tensors(in, drawn);
    try {
        const Model model(shape, tensors, precision, kernels, threads);
        model.check(rows.rows);
        compute(model, rows.rows, threads);
    } catch (const std::invalid_argument&) {
        return 0;  // refused, as it should be
    }
    return 0;
}
