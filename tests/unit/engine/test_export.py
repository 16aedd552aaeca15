"""A model in int8: a quarter of the size, the same order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from secondpass.engine import CrossEncoder
from secondpass.engine.checkpoint import canonical_name, load_weights
from secondpass.engine.export import export, original_name
from secondpass.engine.quantise import dequantise_rows, quantise_rows
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, UnknownName

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
