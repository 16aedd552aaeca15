// The Python face of static encoders: texts to ids, ids to sums of vectors.
#include "static_bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <string_view>

#include "unigram.hpp"

namespace nb = nanobind;

namespace secondpass {
namespace {

using Ids = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Levels = nb::ndarray<const std::int8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::object array_of(std::unique_ptr<T[]> values, std::initializer_list<std::size_t> shape) {
    T* data = values.get();
    const nb::capsule owner(values.release(),
                            [](void* held) noexcept { delete[] static_cast<T*>(held); });
    return nb::cast(nb::ndarray<nb::numpy, T>(data, shape, owner));
}

nb::object array_of(const std::vector<std::int32_t>& values) {
    auto copy = std::make_unique<std::int32_t[]>(values.size());
    std::copy(values.begin(), values.end(), copy.get());
    return array_of(std::move(copy), {values.size()});
}

nb::tuple encode(const Unigram& unigram, const nb::list& texts) {
    std::vector<std::string_view> views;
    for (const nb::handle text : texts) {
        const auto bytes = nb::cast<nb::bytes>(text);
        views.emplace_back(bytes.c_str(), bytes.size());
    }
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> counts;
    {
        const nb::gil_scoped_release released;  // the list keeps the bytes alive
        for (const std::string_view text : views) {
            const std::size_t before = ids.size();
            unigram.encode(text, ids);
            counts.push_back(static_cast<std::int32_t>(ids.size() - before));
        }
    }
    return nb::make_tuple(array_of(ids), array_of(counts));
}

// One token's vector onto a sum: in order, so that a sum is the same in any company.
void add(const std::int8_t* levels, float weight, std::size_t width, float* sum) {
    for (std::size_t at = 0; at < width; ++at) {
        sum[at] += static_cast<float>(levels[at]) * weight;
    }
}

nb::object sum_rows(const Ids& ids, const Ids& counts, const Levels& levels,
                    const Weights& weights) {
    const std::size_t width = levels.shape(1);
    const std::size_t texts = counts.shape(0);
    auto sums = std::make_unique<float[]>(texts * width);
    {
        const nb::gil_scoped_release released;
        if (weights.shape(0) != levels.shape(0)) {
            throw std::invalid_argument("expected a weight for each row");
        }
        std::size_t token = 0;
        for (std::size_t text = 0; text < texts; ++text) {
            const std::int32_t count = counts.data()[text];
            if (count < 0 || static_cast<std::size_t>(count) > ids.shape(0) - token) {
                throw std::invalid_argument("the counts do not sum to the number of ids");
            }
            for (const std::size_t end = token + static_cast<std::size_t>(count); token < end;
                 ++token) {
                const std::int32_t id = ids.data()[token];
                if (id < 0 || static_cast<std::size_t>(id) >= levels.shape(0)) {
                    throw std::invalid_argument("id " + std::to_string(id) + " has no row");
                }
                const auto row = static_cast<std::size_t>(id);
                add(levels.data() + row * width, weights.data()[row], width,
                    sums.get() + text * width);
            }
        }
    }
    return array_of(std::move(sums), {texts, width});
}

}  // namespace

void bind_static(nb::module_& module) {
    nb::class_<Unigram>(module, "Unigram", "Cuts texts into Unigram pieces.")
        .def("__init__",
             [](Unigram* self, const std::vector<std::string>& pieces, std::vector<double> scores,
                std::int32_t unknown, const nb::bytes& ascii) {
                 new (self) Unigram(pieces, std::move(scores), unknown,
                                    std::string(ascii.c_str(), ascii.size()));
             },
             nb::arg("pieces"), nb::arg("scores"), nb::arg("unknown"), nb::arg("ascii"))
        .def("encode", &encode, nb::arg("texts"),
             "The ids of the texts (UTF-8) end to end, without unknown ones, and how many each has.");
    module.def("sum_rows", &sum_rows, nb::arg("ids"), nb::arg("counts"), nb::arg("levels"),
               nb::arg("weights"), "The sum of each text's rows, float32[texts, dimension].");
}

}  // namespace secondpass
