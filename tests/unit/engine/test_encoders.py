"""Encoders by name: which one is meant, and those that other libraries compute."""

from __future__ import annotations

import builtins
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from bi_encoders import TEXTS, transformers_vectors, write_json, write_modules
from secondpass.engine import BiEncoder, Compute, CrossEncoder, Encoding, bundled_models
from secondpass.engine.encoders import StaticEncoder, load_encoder
from secondpass.engine.encoders.onnx import OnnxEncoder
from secondpass.engine.encoders.sentence_transformers import SentenceTransformersEncoder
from secondpass.errors import InvalidInput, MissingExtra, ModelError, UnknownName
from secondpass.testing import check_encoder

FP32 = Compute("fp32")


def test_the_bundled_encoder_is_found_by_name_and_is_no_cross_encoder():
    encoder = load_encoder("static", offline=True)

    assert isinstance(encoder, StaticEncoder)
    assert "static" not in bundled_models()
    with pytest.raises(ModelError, match="a model of type 'model2vec'"):
        CrossEncoder.load("static")


def test_the_bundled_encoder_knows_what_belongs_together():
    texts = [
        "The giant panda is a bear of central China.",
        "Interest rates rose by half a percent.",
        "大熊猫生活在中国中部的山里。",
        "火车票可以在十天内退款。",
    ]
    encoder = load_encoder("static")
    scores = (
        encoder.encode_queries(["what do pandas look like?", "车票怎么退？"])
        @ encoder.encode_passages(texts).T
    )

    assert scores.argmax(axis=1).tolist() == [0, 3]


def test_a_bert_shaped_folder_goes_to_the_native_engine(bi_encoder):
    folder = bi_encoder()

    encoder = load_encoder(str(folder), compute=FP32, encoding=Encoding(query_prompt="q: "))

    assert isinstance(encoder, BiEncoder)
    assert (encoder.spec.query_prompt, encoder.precision) == ("q: ", "fp32")


def test_a_folder_that_holds_no_encoder_says_what_it_holds(checkpoint):
    with pytest.raises(ModelError, match="with CrossEncoder"):
        load_encoder(str(checkpoint("bert")))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("opnai:x", UnknownName, "unknown kind of encoder 'opnai'; choose from onnx, openai, sentence-transformers"),
        ("onnx:", InvalidInput, "expected 'onnx:MODEL'"),
        ("statik", ModelError, "'statik' is no folder and no bundled model; expected one of mini, static"),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_is_refused(name, error, message):
    with pytest.raises(error, match=message):
        load_encoder(name)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("onnx:somewhere", "onnxruntime", "onnx"),
        ("sentence-transformers:somewhere", "sentence_transformers", "sentence-transformers"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(name, module, extra, monkeypatch):
    real = builtins.__import__

    def without(wanted, *rest, **options):
        if wanted == module:
            raise ImportError(wanted)
        return real(wanted, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(MissingExtra, match=rf"secondpass\[{extra}\]"):
        load_encoder(name)


# sentence-transformers


@pytest.fixture
def dense_folder(bi_encoder):
    """A bi-encoder with a Dense module, which the native engine does not run."""
    pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    folder = bi_encoder()
    pooling = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 32}
    write_modules(folder, pooling, ("Transformer", "Pooling", "Dense"))
    config = {
        "in_features": 32,
        "out_features": 5,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    write_json(folder / "2_Dense" / "config.json", config)
    weight = np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    prompts = {"prompts": {"query": "q: ", "document": "d: "}}
    write_json(folder / "config_sentence_transformers.json", prompts)
    return folder, weight


def test_other_modules_go_to_sentence_transformers_with_their_prompts(dense_folder):
    folder, weight = dense_folder
    prompted = [f"q: {text}" for text in TEXTS]
    with_dense = transformers_vectors(folder, prompted, "mean", max_tokens=40)
    expected = with_dense @ weight.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)

    encoder = load_encoder(str(folder), offline=True)

    assert isinstance(encoder, SentenceTransformersEncoder)
    assert encoder.dimension == 5
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, atol=1e-5)
    assert not np.allclose(encoder.encode_passages(TEXTS), expected, atol=1e-3)
    check_encoder(encoder)


def test_its_fingerprint_is_of_weights_and_prompts(dense_folder):
    folder, weight = dense_folder
    first = load_encoder(str(folder)).fingerprint
    same = load_encoder(str(folder)).fingerprint
    other_prompt = load_encoder(str(folder), encoding=Encoding(query_prompt="x")).fingerprint
    save_file({"linear.weight": weight * 2}, folder / "2_Dense" / "model.safetensors")

    assert first == same
    assert len({first, other_prompt, load_encoder(str(folder)).fingerprint}) == 3


def test_a_folder_that_it_cannot_load_is_named(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    write_json(tmp_path / "modules.json", [{"type": "a.Nothing", "path": ""}])

    with pytest.raises(ModelError, match="cannot be loaded by sentence-transformers"):
        load_encoder(f"sentence-transformers:{tmp_path}", offline=True)


# ONNX


def write_graph(path, table, *, pooled=False):
    """An encoder that looks up a row a token: states, or already their mean."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    from onnx import TensorProto, helper, numpy_helper

    def value(name, kind, *shape):
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [value(n, TensorProto.INT64, "b", "t") for n in ("input_ids", "attention_mask")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    output = value("last_hidden_state", TensorProto.FLOAT, "b", "t", table.shape[1])
    if pooled:
        nodes.append(
            helper.make_node(
                "ReduceMean", ["last_hidden_state", "axis"], ["sentence_embedding"], keepdims=0
            )
        )
        output = value("sentence_embedding", TensorProto.FLOAT, "b", table.shape[1])
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    graph = helper.make_graph(nodes, "encoder", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))


@pytest.fixture
def onnx_folder(bi_encoder, tmp_path):
    """The folder of an ONNX encoder, and its table of rows."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    folder = tmp_path / "onnx"
    shutil.copytree(bi_encoder(), folder)
    (folder / "model.safetensors").unlink()
    table = np.random.default_rng(2).standard_normal((400, 6)).astype(np.float32)
    write_graph(folder / "model.onnx", table)
    return folder, table


def expected_vectors(folder, table, texts, pooling):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(40)
    rows = [table[tokenizer.encode(text).ids] for text in texts]
    vectors = np.stack([row[0] if pooling == "cls" else row.mean(axis=0) for row in rows])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_onnx_encoder_is_pooled_as_its_files_say(pooling, onnx_folder, caplog):
    folder, table = onnx_folder
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": pooling})

    encoder = load_encoder(f"onnx:{folder}")

    assert isinstance(encoder, OnnxEncoder)
    with caplog.at_level("WARNING"):
        found = encoder.encode_passages(TEXTS)
    np.testing.assert_allclose(found, expected_vectors(folder, table, TEXTS, pooling), atol=1e-6)
    assert "1 of 6 texts are longer than the 40 tokens" in caplog.text
    check_encoder(encoder)


def test_an_onnx_graph_that_pools_is_taken_at_its_word(onnx_folder):
    folder, table = onnx_folder
    write_graph(folder / "model.onnx", table, pooled=True)

    encoder = load_encoder(f"onnx:{folder}")

    expected = expected_vectors(folder, table, TEXTS, "mean")
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, atol=1e-6)


def test_the_fingerprint_of_an_onnx_encoder_is_of_its_graph_and_spec(onnx_folder):
    folder, table = onnx_folder
    marks = [load_encoder(f"onnx:{folder}").fingerprint for _ in range(2)]
    marks.append(load_encoder(f"onnx:{folder}", encoding=Encoding(max_tokens=30)).fingerprint)
    write_graph(folder / "model.onnx", table * 2)
    marks.append(load_encoder(f"onnx:{folder}").fingerprint)

    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_onnx_files_that_do_not_fit_are_named(onnx_folder):
    folder, table = onnx_folder
    with pytest.raises(InvalidInput, match="max_tokens=999999"):
        load_encoder(f"onnx:{folder}", encoding=Encoding(max_tokens=999999))
    write_graph(folder / "model.onnx", table)
    (folder / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="no model that ONNX Runtime reads"):
        load_encoder(f"onnx:{folder}")
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"has no model\.onnx and no onnx/model\.onnx"):
        load_encoder(f"onnx:{folder}")
