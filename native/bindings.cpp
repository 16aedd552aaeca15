// The Python face of the native kernels: conversions and checks only, no computing.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "cpu.hpp"
#include "dispatch.hpp"
#include "model.hpp"
#include "packing.hpp"
#include "probes.hpp"
#include "static_bindings.hpp"
#include "thread_pool.hpp"

namespace nb = nanobind;

namespace secondpass {
namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr const char* scale_suffix = ".scale";

struct Options {
    std::string precision = "int8";
    std::string instruction_set = "auto";
    std::size_t threads = 1;
};

// The array, alive until the last tensor that reads it is gone; that may be on any thread.
std::shared_ptr<const void> keep(const Array& array) {
    return {new Array(array), [](const void* held) {
                const nb::gil_scoped_acquire gil;
                delete static_cast<const Array*>(held);
            }};
}

Dtype dtype_of(const std::string& name, const Array& array) {
    if (array.dtype() == nb::dtype<float>()) return Dtype::f32;
    if (array.dtype() == nb::dtype<std::int8_t>()) return Dtype::i8;
    if (array.dtype() == nb::dtype<std::uint16_t>()) return Dtype::bf16;  // its bits
    if (array.dtype().code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float) &&
        array.dtype().bits == 16) {
        return Dtype::f16;
    }
    if (array.dtype() == nb::dtype<std::uint8_t>()) return Dtype::q4;
    throw std::invalid_argument("the tensor " + name +
                                " is neither float32, float16, bfloat16 (as uint16), int8 nor "
                                "blocks of 4 bits (as uint8)");
}

// Points the tensor at its scales, and keeps them as long as it.
void take_scales(const std::string& name, const Tensors& tensors, Tensor& tensor) {
    const bool blocks = tensor.dtype == Dtype::q4;
    if (blocks && tensor.columns % q4_block != 0) {
        throw std::invalid_argument("the tensor " + name + " has " + std::to_string(tensor.columns) +
                                    " columns, which are no whole blocks of " +
                                    std::to_string(q4_block));
    }
    const Tensor& scales =
        blocks ? find(tensors, name + scale_suffix, tensor.rows, tensor.columns / q4_block)
               : find(tensors, name + scale_suffix, 1, tensor.rows);
    if (scales.dtype != (blocks ? Dtype::f16 : Dtype::f32)) {
        throw std::invalid_argument("the tensor " + name + scale_suffix + " is not " +
                                    (blocks ? "float16" : "float32"));
    }
    if (blocks) {
        tensor.block_scales = static_cast<const std::uint16_t*>(scales.data);
    } else {
        tensor.scales = static_cast<const float*>(scales.data);
    }
    tensor.owner =
        std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
            tensor.owner, scales.owner);
}

Tensors tensors_from(const std::map<std::string, Array>& arrays) {
    Tensors tensors;
    for (const auto& [name, array] : arrays) {
        if (array.ndim() < 1 || array.ndim() > 2) {
            throw std::invalid_argument("the tensor " + name + " is no vector and no matrix");
        }
        Tensor tensor;
        tensor.data = array.data();
        tensor.dtype = dtype_of(name, array);
        tensor.rows = array.ndim() == 2 ? array.shape(0) : 1;
        tensor.columns = array.shape(array.ndim() - 1) * (tensor.dtype == Dtype::q4 ? 2 : 1);
        tensor.owner = keep(array);
        tensors.emplace(name, tensor);
    }
    for (auto& [name, tensor] : tensors) {
        if (tensor.dtype == Dtype::i8 || tensor.dtype == Dtype::q4) {
            take_scales(name, tensors, tensor);
        }
    }
    return tensors;
}

Precision precision_named(const std::string& name) {
    if (name == "fp32") return Precision::fp32;
    if (name == "int8") return Precision::int8;
    throw std::invalid_argument("unknown precision '" + name + "'; choose from fp32, int8");
}

Rows rows_from(const Integers& ids, const Integers& types, const Integers& lengths) {
    Rows rows{ids.data(), types.data(), {0}};
    for (std::size_t row = 0; row < lengths.shape(0); ++row) {
        const std::int32_t length = lengths.data()[row];
        if (length < 0) {
            throw std::invalid_argument("row " + std::to_string(row) + " has a negative length");
        }
        rows.starts.push_back(rows.starts.back() + static_cast<std::size_t>(length));
    }
    if (rows.starts.back() != ids.shape(0) || ids.shape(0) != types.shape(0)) {
        throw std::invalid_argument(
            "the lengths sum to " + std::to_string(rows.starts.back()) + "; expected the number of "
            "ids (" + std::to_string(ids.shape(0)) + ") and of types (" +
            std::to_string(types.shape(0)) + ")");
    }
    return rows;
}

bool interrupted() {
    const nb::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

struct LoadedModel {
    std::unique_ptr<Model> model;
    std::size_t threads;
};

LoadedModel load(const Shape& shape, const std::map<std::string, Array>& arrays,
                 const Options& options) {
    const Kernels& kernels = choose_kernels(options.instruction_set);
    const Precision precision = precision_named(options.precision);
    if (options.threads < 1) {
        throw std::invalid_argument("threads=0; expected 1 or more");
    }
    const Tensors tensors = tensors_from(arrays);
    const nb::gil_scoped_release released;
    return {std::make_unique<Model>(shape, tensors, precision, kernels, options.threads),
            options.threads};
}

nb::object forward(const LoadedModel& loaded, const Integers& ids, const Integers& types,
                   const Integers& lengths) {
    const std::size_t count = lengths.shape(0);
    const std::size_t outputs = loaded.model->outputs();
    auto out = std::make_unique<float[]>(count * outputs);
    bool whole = true;
    {
        const nb::gil_scoped_release released;
        const Rows rows = rows_from(ids, types, lengths);
        loaded.model->check(rows);
        const auto packs = plan_packs(rows, loaded.threads);
        PoolCall call;
        call.items = packs.size();
        call.threads = loaded.threads;
        call.work = [&](std::size_t pack, Workspace& memory) {
            loaded.model->forward(rows, packs[pack], memory, out.get());
        };
        call.cancelled = interrupted;
        whole = ThreadPool::of_process().run(call);
    }
    if (!whole) {
        throw nb::python_error();  // what the signal's handler raised
    }
    float* values = out.get();
    const nb::capsule owner(out.release(), [](void* held) noexcept {
        delete[] static_cast<float*>(held);
    });
    return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(values, {count, outputs}, owner));
}

}  // namespace
}  // namespace secondpass

NB_MODULE(_native, module) {
    using namespace secondpass;
    module.doc() = "The native kernels of secondpass.";
    module.def("instruction_sets", &instruction_sets,
               "The vector instruction sets that this processor and operating system can run, by "
               "name; empty on an unknown architecture.");
    module.def("kernel_names", &kernel_names,
               "The instruction sets that a Model can be told to use here, best first.");
    module.def("peaks", &peaks, nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(),
               "What the multipliers reach: int8_gops and fp32_gflops.");
    nb::class_<Shape>(module, "Shape", "The sizes of a model.")
        .def(nb::init<>())
        .def_rw("hidden", &Shape::hidden)
        .def_rw("layers", &Shape::layers)
        .def_rw("heads", &Shape::heads)
        .def_rw("intermediate", &Shape::intermediate)
        .def_rw("vocabulary", &Shape::vocabulary)
        .def_rw("positions", &Shape::positions)
        .def_rw("padding_id", &Shape::padding_id)
        .def_rw("eps", &Shape::eps)
        .def_rw("activation", &Shape::activation)
        .def_rw("head", &Shape::head)
        .def_rw("join_layer", &Shape::join_layer)
        .def_rw("outliers", &Shape::outliers);
    nb::class_<Options>(module, "Options", "How a model is to be computed.")
        .def(nb::init<>())
        .def_rw("precision", &Options::precision)
        .def_rw("instruction_set", &Options::instruction_set)
        .def_rw("threads", &Options::threads);
    nb::class_<LoadedModel>(module, "Model", "An encoder with its head; many threads may use one.")
        .def(nb::new_(&load), nb::arg("shape"), nb::arg("tensors"), nb::arg("options"))
        .def("forward", &forward, nb::arg("ids"), nb::arg("types"), nb::arg("lengths"),
             "What the head gives for rows laid end to end: float32[rows, 1] of logits, or "
             "float32[rows, hidden] of vectors.")
        .def_prop_ro("instruction_set", [](const LoadedModel& loaded) {
            return std::string(loaded.model->kernels().name);
        });
    bind_static(module);
}
