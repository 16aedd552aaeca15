from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lessons import lessons
from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import ModelError
from secondpass.training.delivery import (
    Calibrated,
    Quality,
    assemble,
    calibrate,
    deliver,
    fold_line,
    student,
)
from secondpass.training.lists import TrainingList
from secondpass.training.start import prepare_start

LISTS = lessons(12)
PAIRS = [(one.query, text) for one in LISTS for text in one.texts]


def fp32(folder):
    return CrossEncoder.load(folder, compute=Compute(precision="fp32")).score(PAIRS)


@pytest.fixture
def start(checkpoint, tmp_path):
    return prepare_start(str(checkpoint("bert")), tmp_path / "start").folder


@pytest.fixture
def delivered(start, tmp_path):
    quality = deliver(start, start / "model.safetensors", tmp_path / "work", LISTS, most_cost=1.0)
    assemble(tmp_path / "work", tmp_path / "out", card="# card\n", recipe="seed = 1\n")
    return quality, tmp_path / "out"


def test_the_line_is_in_the_weights_and_keeps_the_order(checkpoint, delivered):
    quality, out = delivered
    before, line = fp32(checkpoint("bert")), quality.calibrated

    assert fp32(out) == pytest.approx(line.a * before + line.b, abs=1e-4)
    assert line.a > 0


def test_sentence_transformers_and_our_engine_give_the_same(delivered):
    import torch
    from sentence_transformers import CrossEncoder as LibraryCrossEncoder

    _, out = delivered
    model = LibraryCrossEncoder(str(out), device="cpu", local_files_only=True)

    logits = model.predict(PAIRS, activation_fn=torch.nn.Identity(), batch_size=1)
    assert logits == pytest.approx(fp32(out), abs=1e-4)
    assert model.predict(PAIRS, batch_size=1) == pytest.approx(
        1 / (1 + np.exp(-fp32(out))), abs=1e-4
    )


def test_the_small_one_loads_and_says_nearly_the_same(delivered):
    _, out = delivered

    assert CrossEncoder.load(out / "int8").score(PAIRS) == pytest.approx(fp32(out), abs=0.4)
    names = {path.name for path in (out / "int8").iterdir()}
    assert names >= {"README.md", "recipe.toml", "config.json", "model.int8.safetensors"}


def test_the_outliers_are_stated_so_that_nobody_looks_again(delivered):
    _, out = delivered

    large, small = (json.loads((at / "secondpass.json").read_text()) for at in (out, out / "int8"))
    assert large == small
    assert "outliers" in large


def int8_breaks(start):
    """The weights of a model that says the same in float32, but whose int8 levels are all wasted.

    One channel is always zero, and reads with weights so large that the other levels vanish.
    """
    tensors = load_file(start / "model.safetensors")
    for name, value in tensors.items():
        if name.endswith(("LayerNorm.weight", "LayerNorm.bias")):
            value[0] = 0.0
        if name.endswith(
            ("query.weight", "key.weight", "value.weight", "intermediate.dense.weight")
        ):
            value[:, 0] = 1e4
    path = start.with_name("broken.safetensors")
    save_file(tensors, path)
    return path


def test_a_model_that_int8_breaks_is_refused_and_its_float32_kept(start, tmp_path):
    work = tmp_path / "work"
    first = deliver(start, start / "model.safetensors", work, LISTS, most_cost=1.0)
    # labels that agree with the model in float32, so that any other order costs
    broken = int8_breaks(start)
    shutil.copyfile(broken, work / "float32" / "model.safetensors")
    scores = np.split(fp32(work / "float32"), len(LISTS))
    agreeing = [
        TrainingList(one.query, one.texts, tuple(float(x) for x in found == found.max()))
        for one, found in zip(LISTS, scores, strict=True)
    ]

    with pytest.raises(
        ModelError, match=r"int8 costs 0\.\d{4} of nDCG@10 \(1\.0000 in float32"
    ) as error:
        deliver(start, broken, work, agreeing, most_cost=0.005)

    assert f"the float32 model is in '{work / 'float32'}'" in str(error.value)
    assert np.isfinite(fp32(work / "float32")).all()
    assert abs(first.fp32 - first.int8) < 0.2


def test_the_line_is_measured_on_lists_that_it_was_not_fitted_on():
    lists = [TrainingList(f"q {at}", ("a", "b"), (1.0, 0.0)) for at in range(4)]
    sure, wrong = np.array([5.0, -5.0], np.float32), np.array([-5.0, 5.0], np.float32)

    found = calibrate([sure, wrong, sure, wrong], lists)

    assert found.a > 0
    assert found.error_before == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)
    assert found.error_after > 0.9


def test_folding_keeps_every_other_weight(start):
    before = load_file(start / "model.safetensors")

    fold_line(start, 2.0, -1.0)

    after = load_file(start / "model.safetensors")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert after["classifier.bias"] == pytest.approx(before["classifier.bias"] * 2 - 1)


@pytest.mark.parametrize(
    ("lists", "spoilt", "refused"),
    [(40, 0, False), (40, 1, False), (40, 12, True), (1000, 5, False), (1000, 30, True)],
)
def test_int8_is_refused_where_more_than_chance_says_that_it_costs_too_much(lists, spoilt, refused):
    fp32 = np.ones(lists)
    int8 = np.where(np.arange(lists) < spoilt, 0.63, 1.0)  # the right text from rank 1 to 2

    quality = Quality.of(fp32, int8, Calibrated(1.0, 0.0, 0.0, 0.0))

    assert quality.cost == pytest.approx(0.37 * spoilt / lists)
    assert quality.surely_costs(0.005) is refused
    assert quality.surely_costs(1.0) is False


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 2.353), (10, 1.812), (30, 1.697), (999, 1.646)]
)
def test_few_lists_must_agree_more(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, rel=0.02)  # a table of Student's t
