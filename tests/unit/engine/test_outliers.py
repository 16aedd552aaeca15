"""Channels that run far above the rest are found, stated, and kept out of int8's levels."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from secondpass.engine import Compute, CrossEncoder
from secondpass.engine.backends.table import build_backend
from secondpass.engine.batching import Row, pack
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.encode import calibration_rows
from secondpass.engine.export import export
from secondpass.engine.outliers import COST, MOST_CHANNELS, calibrate, stick_out
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.errors import ModelError

pytest.importorskip("secondpass._native", reason="built without a compiler")

LOUD = (3, 17, 30)  # channels that the checkpoint below makes 30 times as high
PAIRS = [("what is a panda?", f"panda {word} 大熊猫 bear " * 6) for word in "abcdefgh"]
KERNELS = __import__("secondpass._native", fromlist=["kernel_names"]).kernel_names()


def with_loud_channels(source: Path, folder: Path, weights: float) -> Path:
    """The checkpoint with a few channels behind each LayerNorm 30 times as high as the others."""
    tensors = load_file(source / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith("LayerNorm.weight"):
            tensor[list(LOUD)] *= 30.0
        elif name.endswith("weight") and ".layer." in name:
            np.multiply(tensor, weights, out=tensor)
    save_file(tensors, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def loud(checkpoint, tmp_path_factory):
    return with_loud_channels(checkpoint("bert"), tmp_path_factory.mktemp("loud"), 0.4)


def test_the_channels_are_found_in_every_activation_behind_a_layer_norm(loud):
    spec = ModelSpec.read(loud)
    tokenizer = PairTokenizer.load(loud, vocabulary=spec.vocabulary)

    found = calibrate(spec, load_weights(loud, spec), calibration_rows(tokenizer, spec)).spec

    for layer in range(spec.layers):
        for part in ("attention.self", "intermediate.dense"):
            assert set(LOUD) <= set(found.outliers[f"encoder.layer.{layer}.{part}"])


@pytest.fixture(scope="module")
def rows():
    numbers = np.random.default_rng(5)
    ids = [numbers.integers(5, 100, length).astype(np.int32) for length in [9, 20, 40, 64] * 6]
    return pack([Row(row, np.zeros_like(row)) for row in ids])


@pytest.mark.parametrize("instruction_set", KERNELS)
def test_the_error_stays_bounded_where_channels_run_high(instruction_set, loud, rows):
    weights = load_weights(loud, ModelSpec.read(loud))
    exact = CrossEncoder.load(loud, backend="numpy").backend.forward(rows)
    compute = Compute("int8", 2, instruction_set)

    found = CrossEncoder.load(loud, backend="native", compute=compute)

    none = replace(found.spec, outliers={})
    bare = build_backend("native", none, weights, compute).forward(rows)
    errors = np.abs(found.backend.forward(rows) - exact)
    assert np.sqrt(np.mean(errors**2)) < 0.25 * exact.std()
    assert errors.mean() < np.abs(bare - exact).mean() / 3


def test_an_exported_model_states_them_and_scores_nearly_the_same(loud, rows, tmp_path):
    small = export(loud, tmp_path / "small")

    stated = json.loads((small / "secondpass.json").read_text(encoding="utf-8"))["outliers"]
    assert set(LOUD) <= set(stated["encoder.layer.0.attention.self"])
    loaded = CrossEncoder.load(small, backend="native", compute=Compute("int8", 1))
    assert loaded.spec.outliers == {name: tuple(channels) for name, channels in stated.items()}
    exact = CrossEncoder.load(small, backend="numpy").backend.forward(rows)
    errors = loaded.backend.forward(rows) - exact
    assert np.sqrt(np.mean(errors**2)) < 0.25 * exact.std()


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=60))
def test_what_is_taken_out_is_worth_its_cost(values):
    largest = np.array(values, dtype=np.float32)

    taken = stick_out(largest)

    assert len(taken) <= MOST_CHANNELS
    assert taken == sorted(set(taken))
    left = np.delete(largest, taken)
    if taken:
        assert left.max() * COST ** len(taken) <= largest.max()
        assert largest[taken].min() >= left.max()


def test_a_flat_activation_has_none():
    assert stick_out(np.ones(40, dtype=np.float32)) == []


@pytest.mark.parametrize("stated", [{"encoder.layer.0.attention.self": [9999]}, {"x": "y"}, [1]])
def test_statements_that_make_no_sense_are_errors(stated, loud, tmp_path):
    for path in loud.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "secondpass.json").write_text(json.dumps({"outliers": stated}), encoding="utf-8")

    with pytest.raises(ModelError):
        CrossEncoder.load(tmp_path, backend="native", compute=Compute("int8", 1))


def test_a_model_that_int8_spoils_is_computed_in_fp32_and_that_is_said(
    checkpoint, tmp_path, caplog, monkeypatch
):
    # Weights so large that softmax looks at a single token: a level decides at which.
    sharp = with_loud_channels(checkpoint("bert"), tmp_path, 1.0)
    monkeypatch.setattr("secondpass.engine.backends.table.AUTO_PRECISION", "int8")

    with caplog.at_level(logging.WARNING):
        model = CrossEncoder.load(sharp)

    assert model.precision == "fp32"
    assert "fp32 takes the place of int8" in caplog.text
    exact = CrossEncoder.load(sharp, backend="numpy").score(PAIRS)
    np.testing.assert_allclose(model.score(PAIRS), exact, atol=1e-3)


def test_whoever_insists_on_int8_gets_it_with_a_warning(checkpoint, tmp_path, caplog):
    sharp = with_loud_channels(checkpoint("bert"), tmp_path, 1.0)

    with caplog.at_level(logging.WARNING):
        model = CrossEncoder.load(sharp, backend="native", compute=Compute("int8", 1))

    assert model.precision == "int8"
    assert "int8 moves logits" in caplog.text
