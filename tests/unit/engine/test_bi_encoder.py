"""Vectors against transformers and sentence-transformers, and folders that are no bi-encoder's."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bi_encoders import TEXTS, transformers_vectors, write_json, write_modules
from secondpass.engine import BiEncoder, Compute, CrossEncoder, Encoding
from secondpass.engine.backends.table import VECTOR_BACKENDS
from secondpass.errors import EngineError, InvalidInput, ModelError

FP32 = Compute("fp32")


def rewrite(folder, name, **changes):
    path = folder / name
    write_json(path, {**json.loads(path.read_text()), **changes})


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("variant", ["bert", "bert-untyped", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("backend", VECTOR_BACKENDS)
def test_vectors_equal_those_of_transformers(backend, variant, pooling, bi_encoder):
    folder = bi_encoder(variant, pooling)
    expected = transformers_vectors(folder, TEXTS, pooling, max_tokens=40)

    encoded = BiEncoder.load(folder, backend=backend, compute=FP32).encode(TEXTS)

    assert (encoded.vectors.dtype, encoded.vectors.shape) == (np.float32, (len(TEXTS), 32))
    assert np.ptp(expected @ expected.T) > 0.1  # else the comparison would say nothing
    np.testing.assert_allclose(encoded.vectors, expected, atol=1e-5, rtol=0)
    assert encoded.truncated == (5,)


@pytest.mark.parametrize("backend", VECTOR_BACKENDS)
@pytest.mark.parametrize("normalised", [True, False])
def test_vectors_have_length_1_where_the_files_ask_for_it(normalised, backend, bi_encoder):
    folder = bi_encoder()
    unit = BiEncoder.load(folder, backend=backend, compute=FP32).encode(TEXTS).vectors
    if not normalised:
        write_modules(folder, {"pooling_mode": "mean"}, ("Transformer", "Pooling"))

    vectors = BiEncoder.load(folder, backend=backend, compute=FP32).encode(TEXTS).vectors

    lengths = np.linalg.norm(vectors, axis=1)
    assert np.allclose(lengths, 1, atol=1e-6) == normalised
    np.testing.assert_allclose(vectors / lengths[:, None], unit, atol=1e-6)


@pytest.mark.parametrize("compute", [FP32, Compute("int8")], ids=lambda one: one.precision)
def test_a_vector_does_not_depend_on_the_size_of_batches_or_on_threads(compute, bi_encoder):
    pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    folder, texts = bi_encoder(), [*TEXTS, *(f"panda {at} " * (at % 9) for at in range(60))]
    whole = BiEncoder.load(folder, compute=compute).encode_passages(texts)

    narrow = Compute(compute.precision, threads=3)
    small = BiEncoder.load(folder, compute=narrow, encoding=Encoding(batch_tokens=50))

    np.testing.assert_array_equal(small.encode_passages(texts), whole)
    np.testing.assert_array_equal(small.encode_passages(texts[::-1])[::-1], whole)


def test_prompts_come_from_the_caller_then_our_file_then_that_of_sentence_transformers(bi_encoder):
    folder = bi_encoder()
    theirs = {"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}
    write_json(folder / "config_sentence_transformers.json", theirs)
    stated = BiEncoder.load(folder)
    write_json(folder / "secondpass.json", {"passage_prompt": "passage: "})
    ours = BiEncoder.load(folder)
    said = BiEncoder.load(folder, encoding=Encoding(query_prompt="", passage_prompt="x"))

    found = [(one.spec.query_prompt, one.spec.passage_prompt) for one in (stated, ours, said)]

    assert found == [("q: ", "d: "), ("q: ", "passage: "), ("", "x")]
    np.testing.assert_array_equal(
        stated.encode_queries(["panda"]), said.encode_queries(["q: panda"])
    )
    np.testing.assert_array_equal(
        ours.encode_passages(["panda"]), said.encode(["passage: panda"]).vectors
    )


def test_the_default_prompt_stands_in_for_one_that_is_not_named(bi_encoder):
    folder = bi_encoder()
    prompts = {"prompts": {"all": "text: ", "query": "q: "}, "default_prompt_name": "all"}
    write_json(folder / "config_sentence_transformers.json", prompts)

    spec = BiEncoder.load(folder).spec

    assert (spec.query_prompt, spec.passage_prompt) == ("q: ", "text: ")


def test_a_text_is_lowered_where_the_files_ask_for_it(bi_encoder):
    folder = bi_encoder("roberta")
    plain = BiEncoder.load(folder, compute=FP32)
    rewrite(folder, "sentence_bert_config.json", do_lower_case=True)
    lowered = BiEncoder.load(folder, compute=FP32)

    np.testing.assert_array_equal(
        lowered.encode_queries(["PANDA"]), plain.encode_queries(["panda"])
    )
    assert not np.array_equal(plain.encode_queries(["PANDA"]), plain.encode_queries(["panda"]))


def test_texts_that_are_cut_are_told(bi_encoder, caplog):
    model = BiEncoder.load(bi_encoder())
    long = "giant panda " * 40
    texts = ["short", long, "panda", long]

    with caplog.at_level("WARNING"):
        vectors = model.encode_passages(texts)

    assert "2 of 4 texts are longer than the 40 tokens" in caplog.text
    assert model.encode(texts).truncated == (1, 3)
    np.testing.assert_array_equal(vectors[1], model.encode([long + "more"]).vectors[0])
    wide = BiEncoder.load(bi_encoder(pooling="cls"), encoding=Encoding(max_tokens=64))
    assert wide.spec.max_tokens == 64


def test_no_cut_is_not_told(bi_encoder, caplog):
    with caplog.at_level("WARNING"):
        BiEncoder.load(bi_encoder()).encode_queries(["panda"])

    assert not caplog.records


def test_a_folder_that_does_not_say_its_pooling_asks_for_it(bi_encoder):
    folder = bi_encoder()
    expected = BiEncoder.load(folder).encode(TEXTS[:3]).vectors
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")

    with pytest.raises(InvalidInput, match=r"has no modules\.json.*Encoding\(pooling='mean'\)"):
        BiEncoder.load(folder)

    said = BiEncoder.load(folder, encoding=Encoding(pooling="mean"))
    np.testing.assert_array_equal(said.encode(TEXTS[:3]).vectors, expected)


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_names_with_and_without_the_prefix_of_the_family_are_read(prefix, bi_encoder):
    model = BiEncoder.load(bi_encoder(prefix=prefix))

    assert model.encode_queries(["panda"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (
            ("Transformer", "Pooling", "Dense", "Normalize"),
            "Transformer, Pooling, Dense, Normalize",
        ),
        (("Transformer", "Normalize"), "the modules Transformer, Normalize"),
        (("StaticEmbedding",), "the modules StaticEmbedding"),
        ((), "the modules none"),
    ],
)
def test_other_modules_are_refused(kinds, message, bi_encoder):
    folder = bi_encoder()
    write_modules(folder, {"pooling_mode": "mean"}, kinds or ("Transformer",))
    if not kinds:
        write_json(folder / "modules.json", [])

    with pytest.raises(ModelError, match=message):
        BiEncoder.load(folder)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ({"pooling_mode_max_tokens": True}, "pooling max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pooling cls, mean"),
        ({"pooling_mode": "lasttoken"}, "pooling lasttoken"),
        ({}, "pooling none"),
        ({"pooling_mode": "mean", "include_prompt": False}, "without the tokens of the prompt"),
    ],
)
def test_other_poolings_are_refused(pooling, message, bi_encoder):
    folder = bi_encoder()
    write_modules(folder, pooling)

    with pytest.raises(ModelError, match=message):
        BiEncoder.load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", {"a": 1}, "is no list of modules"),
        ("modules.json", [{"type": 3, "path": ""}], "is no list of modules"),
        ("modules.json", [{"type": "a.Transformer", "path": "0_T"}, {"type": "Pooling", "path": ""}], "'0_T'"),
        ("sentence_bert_config.json", {"max_seq_length": "x"}, "max_seq_length 'x'"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "task 'fill-mask'"),
        ("config_sentence_transformers.json", {"prompts": [1]}, "do not fit together"),
        ("config_sentence_transformers.json", {"default_prompt_name": "x"}, "default_prompt_name is 'x'"),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "prompt that is no text"),
        ("secondpass.json", {"query_prompt": 3}, "prompt that is no text"),
        ("secondpass.json", {"layers": 3}, "states layers"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_named(name, content, message, bi_encoder):
    folder = bi_encoder()
    write_json(folder / name, content)

    with pytest.raises(ModelError, match=message):
        BiEncoder.load(folder)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"pooling": "max"}, "pooling='max' is not supported; choose from cls, mean"),
        ({"pooling": "cls"}, "pooling='cls' contradicts the model's modules.json"),
        ({"normalise": False}, "normalise=False contradicts"),
        ({"max_tokens": 65}, "max_tokens=65 is not between 8 and the model's limit of 64"),
        ({"max_tokens": 7}, "max_tokens=7"),
        ({"batch_tokens": 0}, "batch_tokens=0"),
    ],
)
def test_what_a_caller_cannot_say_is_refused(said, message, bi_encoder):
    folder = bi_encoder()

    with pytest.raises(InvalidInput, match=message):
        BiEncoder.load(folder, encoding=Encoding(**said))


def test_each_kind_of_model_is_sent_to_the_class_that_loads_it(bi_encoder, checkpoint):
    with pytest.raises(ModelError, match=r"has classifier\.weight.*with CrossEncoder"):
        BiEncoder.load(checkpoint("bert"))
    with pytest.raises(ModelError, match=r"it is a bi-encoder.*which BiEncoder loads"):
        CrossEncoder.load(bi_encoder())


def test_the_fingerprint_changes_with_what_a_vector_depends_on_and_with_nothing_else(bi_encoder):
    folder = bi_encoder()
    mark = BiEncoder.load(folder).fingerprint
    same = [
        BiEncoder.load(folder, backend="numpy"),
        BiEncoder.load(folder, encoding=Encoding(pooling="mean", batch_tokens=9)),
        BiEncoder.load(bi_encoder(pooling="cls", prefix="bert.")),
    ]
    write_modules(bi_encoder("bert-untyped"), {"pooling_mode": "mean"})
    others = [
        BiEncoder.load(folder, encoding=Encoding(query_prompt="q")),
        BiEncoder.load(folder, encoding=Encoding(max_tokens=50)),
        same.pop(),
    ]
    weights = load_file(folder / "model.safetensors")
    save_file(dict(reversed(weights.items())), folder / "model.safetensors", {"made": "anew"})
    same.append(BiEncoder.load(folder))

    assert {model.fingerprint for model in same} == {mark}
    assert len({mark, *(model.fingerprint for model in others)}) == 4
    weights["encoder.layer.2.output.dense.bias"][0] += 1
    save_file(weights, folder / "model.safetensors")
    assert BiEncoder.load(folder).fingerprint != mark


@pytest.mark.parametrize("backend", VECTOR_BACKENDS)
def test_a_vector_that_is_not_finite_is_an_error(backend, bi_encoder):
    folder = bi_encoder()
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][:] = np.inf
    save_file(weights, folder / "model.safetensors")
    model = BiEncoder.load(folder, backend=backend)

    with np.errstate(invalid="ignore"), pytest.raises(EngineError, match="the model gave nan"):
        model.encode_queries(["panda"])


def test_a_closed_model_says_so(bi_encoder):
    with BiEncoder.load(bi_encoder()) as model:
        pass
    model.close()

    with pytest.raises(EngineError, match="closed"):
        model.encode_queries(["panda"])
    with pytest.raises(EngineError, match="closed"):
        _ = model.fingerprint
    assert model.dimension == 32


@pytest.fixture(scope="module")
def passages():
    """Texts of many lengths, English and Chinese."""
    words = "the giant panda eats bamboo in the hills of 四川 where 大熊猫 live and nothing else".split()
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, size)) for size in (1, 3, 9, 30, 60, 90, 200, 300)] + TEXTS


@pytest.mark.parametrize("backend", VECTOR_BACKENDS)
def test_all_minilm_equals_sentence_transformers(backend, all_minilm, passages):
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    expected = library.SentenceTransformer(str(all_minilm), device="cpu").encode(passages)

    model = BiEncoder.load(all_minilm, backend=backend, compute=FP32)

    assert (model.spec.max_tokens, model.spec.pooling, model.spec.normalised) == (256, "mean", True)
    np.testing.assert_allclose(model.encode(passages).vectors, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_e5_small_equals_transformers(e5_small, passages):
    said = Encoding(pooling="mean", query_prompt="query: ", passage_prompt="passage: ")
    passages = [text for text in passages if len(text) < 500]  # the longest take most of the time
    prompted = [f"passage: {text}" for text in passages]
    expected = transformers_vectors(e5_small, prompted, "mean", max_tokens=512)

    for backend in VECTOR_BACKENDS:
        with BiEncoder.load(e5_small, backend=backend, compute=FP32, encoding=said) as model:
            vectors = model.encode_passages(passages)
        np.testing.assert_allclose(vectors, expected, atol=1e-4, rtol=0)


def test_int8_turns_the_vectors_of_a_real_encoder_by_little(all_minilm, shared_data):
    pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    # Real prose, for a mean of random words is a text that nobody writes.
    files = sorted((shared_data / "tutorials").iterdir())
    whole = "\n\n".join(path.read_text("utf-8") for path in files if path.suffix in (".md", ".txt"))
    texts = [part for part in whole.split("\n\n") if len(part) > 40][::8]
    exact = BiEncoder.load(all_minilm, compute=FP32).encode(texts).vectors

    vectors = BiEncoder.load(all_minilm, compute=Compute("int8")).encode(texts).vectors

    cosines = (vectors * exact).sum(1)
    assert len(cosines) > 40
    assert cosines.mean() > 0.999
    assert cosines.min() > 0.997
    assert np.abs(vectors @ vectors.T - exact @ exact.T).mean() < 0.005
