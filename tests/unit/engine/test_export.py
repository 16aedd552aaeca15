"""A model in int8: a quarter of the size, the same order."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file

from checkpoints import build_checkpoint
from secondpass.engine import Compute, CrossEncoder
from secondpass.engine.checkpoint import canonical_name, load_weights
from secondpass.engine.export import export, original_name
from secondpass.engine.quantise import (
    BLOCK,
    dequantise_rows,
    exact_blocks,
    expand_blocks,
    quantise_rows,
)
from secondpass.engine.spec import ModelSpec
from secondpass.errors import EngineError, InvalidInput, ModelError, UnknownName

PAIRS = [("what is a panda?", text) for text in ("a bear", "lorem ipsum", "大熊猫", "because 42")]


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(-9, 9, width=32))
)
def test_a_weight_is_off_by_half_a_level_at_most(matrix):
    levels, scales = quantise_rows(matrix)

    assert levels.dtype == np.int8
    assert scales.dtype == np.float32
    assert np.abs(levels.astype(int)).max() <= 127
    assert (np.abs(dequantise_rows(levels, scales) - matrix) <= scales[:, None] * 0.5001).all()


def in_four_bits(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A matrix as a checkpoint in blocks of 4 bits gives it: levels from -8 to 7, a scale a block."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(-8, 8, (shape[0] * shape[1] // BLOCK, BLOCK)).astype(np.float32)
    scales = rng.normal(0, 0.01, len(levels)).astype(np.float16).astype(np.float32)
    return (levels * scales[:, None]).reshape(shape)


@given(
    arrays(np.int8, st.tuples(st.integers(1, 3), st.just(2 * BLOCK)), elements=st.integers(-8, 7)),
    st.floats(-60000, 60000, width=16).filter(lambda scale: scale == 0 or abs(scale) > 1e-6),
)
def test_weights_that_came_in_blocks_are_kept_to_the_bit(levels, scale):
    matrix = levels.astype(np.float32) * np.float32(scale)

    found = exact_blocks(matrix)

    assert found is not None
    halves, scales = found
    assert (halves.dtype, halves.shape) == (np.uint8, (len(matrix), BLOCK))
    assert (scales.dtype, scales.shape) == (np.float16, (len(matrix), 2))
    np.testing.assert_array_equal(expand_blocks(halves, scales), matrix)


def test_a_matrix_that_no_blocks_hold_exactly_is_told():
    exact = in_four_bits((8, 64))
    assert exact_blocks(exact) is not None
    assert exact_blocks(exact[:, :48]) is None  # no whole blocks
    exact[5, 40] += np.float32(1e-6)
    assert exact_blocks(exact) is None
    assert exact_blocks(np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)) is None
    assert exact_blocks(np.full((1, 32), np.nan, np.float32)) is None


@pytest.fixture
def in_blocks(tmp_path):
    """A checkpoint whose word embeddings and first layer came in 4 bits, and its export."""
    folder = build_checkpoint("bert", tmp_path / "plain", hidden_size=64, intermediate_size=96)
    tensors = load_file(folder / "model.safetensors")
    for name, value in tensors.items():
        if "encoder.layer.0." in name or "word_embeddings" in name:
            tensors[name] = in_four_bits(value.shape) if value.ndim == 2 else value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder, export(folder, tmp_path / "small")


def test_an_export_keeps_blocks_and_computes_as_their_floats_do(in_blocks):
    plain, small = in_blocks
    spec = ModelSpec.read(small)
    ours, theirs = load_weights(small, spec), load_weights(plain, spec)
    kinds = {name: values.dtype.name for name, values in ours.stored().items()}
    assert kinds["embeddings.word_embeddings.weight"] == "uint8"
    assert kinds["encoder.layer.0.output.dense.weight"] == "uint8"
    assert kinds["encoder.layer.1.output.dense.weight"] == "int8"
    for name in theirs:
        assert ours.shape(name) == theirs[name].shape
        if kinds[name] == "uint8":
            np.testing.assert_array_equal(ours[name], theirs[name])
    words = "embeddings.word_embeddings.weight"
    rows = np.array([7, 3, 3])
    np.testing.assert_array_equal(ours.rows(words, rows), theirs[words][rows])
    for backend, precision in (("numpy", "fp32"), ("native", "fp32"), ("native", "int8")):
        compute = Compute(precision=precision)
        scores = [
            CrossEncoder.load(folder, backend=backend, compute=compute).score(PAIRS)
            for folder in (small, rebuilt(plain, small))
        ]
        np.testing.assert_allclose(*scores, atol=1e-5)


def rebuilt(plain, small):
    """The export's weights as a checkpoint in float32."""
    folder = small.with_name("rebuilt")
    if not folder.is_dir():
        shutil.copytree(plain, folder)
        weights = load_weights(small, ModelSpec.read(small))
        tensors = {original_name(name, "bert"): values for name, values in weights.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(small / "secondpass.json", folder / "secondpass.json")
    return folder


def test_bytes_that_are_no_weights_are_passed_over(in_blocks):
    _, small = in_blocks
    file = small / "model.int8.safetensors"
    expected = CrossEncoder.load(small).score(PAIRS)
    masks = {
        "bert.encoder.layer.0.attention.bias": np.ones((1, 64), np.uint8),
        "bert.encoder.layer.0.flag": np.array(1, np.uint8),
    }
    save_file(load_file(file) | masks, file)
    np.testing.assert_array_equal(CrossEncoder.load(small).score(PAIRS), expected)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda scales: scales[:, :1], r"lacks the tensor embeddings\.word_embeddings\.weight"),
        (lambda scales: np.full_like(scales, np.inf), r"scale is not finite|not finite"),
    ],
)
def test_damaged_blocks_are_told(in_blocks, damage, message):
    _, small = in_blocks
    tensors = load_file(small / "model.int8.safetensors")
    name = next(name for name in tensors if name.endswith("word_embeddings.weight.scale"))
    save_file(tensors | {name: damage(tensors[name])}, small / "model.int8.safetensors")
    with pytest.raises((ModelError, EngineError), match=message):
        CrossEncoder.load(small).score(PAIRS)


@pytest.mark.parametrize("variant", ["bert", "roberta", "xlm-roberta"])
def test_an_exported_model_has_the_rounded_weights_and_loads(variant, checkpoint, tmp_path):
    folder = export(checkpoint(variant), tmp_path / "small")

    spec = ModelSpec.read(folder)
    rounded = {
        name: dequantise_rows(*quantise_rows(tensor))
        if tensor.ndim == 2 and name != "logit.weight"
        else tensor
        for name, tensor in load_weights(checkpoint(variant), spec).items()
    }
    loaded = load_weights(folder, spec)
    assert loaded.keys() == rounded.keys()
    for name, tensor in rounded.items():
        np.testing.assert_array_equal(loaded[name], tensor)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.int8.safetensors",
        "secondpass.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert np.isfinite(CrossEncoder.load(folder).score(PAIRS)).all()


def test_a_trained_model_scores_like_the_float_weights_it_was_made_from(shared_data, tmp_path):
    folder = shared_data.parent / "models" / "mini"
    original, exported = CrossEncoder.load(folder), export(folder, tmp_path / "int8")
    pairs = [
        ("地区生产总值是多少？", text)
        for text in (
            "全市地区生产总值增长5.2%、约4.4万亿元",
            "数字经济增加值占比达42.9%",
            "居民消费价格总体平稳",
            "今天天气很好",
        )
    ]

    small, floats = CrossEncoder.load(exported).score(pairs), original.score(pairs)

    assert np.abs(small - floats).max() < 0.15
    assert np.argsort(small).tolist() == np.argsort(floats).tolist()


def test_an_export_of_an_export_changes_nothing(checkpoint, tmp_path):
    once = export(checkpoint("bert"), tmp_path / "once")
    twice = export(once, tmp_path / "twice")

    spec = ModelSpec.read(once)
    first, second = load_weights(once, spec), load_weights(twice, spec)
    for name, tensor in first.items():
        np.testing.assert_allclose(second[name], tensor, rtol=1e-6)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_names_go_there_and_back(family):
    for name in (
        "embeddings.LayerNorm.bias",
        "encoder.layer.3.output.dense.weight",
        "dense.bias",
        "logit.weight",
    ):
        assert canonical_name(original_name(name, family), family) == name


def test_nothing_is_overwritten_and_no_half_is_left(checkpoint, tmp_path):
    with pytest.raises(InvalidInput, match="exists"):
        export(checkpoint("bert"), tmp_path)
    with pytest.raises(UnknownName, match="precision 'int4'"):
        export(checkpoint("bert"), tmp_path / "new", precision="int4")
    assert list(tmp_path.iterdir()) == []
