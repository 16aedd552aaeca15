"""Packed rows give the logits that our numpy engine gives for the exported folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from recipes.artefact import BUNDLED, write_folder, write_int8
from recipes.attention import Layout, attend_padded
from recipes.bert import Joined, Kernels, Ranker, Rows, Shape, every_other
from recipes.calibration import calibration_error, fit_line, fold_line
from recipes.kernels import choose_kernels

from secondpass.engine.backends.numpy import NumpyBackend
from secondpass.engine.batching import Row, pack
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.errors import ModelError

SHAPE = Shape(vocabulary=40000, hidden=32, layers=3, heads=4, intermediate=48, positions=64)
CPU = torch.device("cpu")


@pytest.fixture
def model() -> Ranker:
    torch.manual_seed(2)
    ranker = Ranker(SHAPE)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
            parameter.copy_(parameter.half().float())  # as exported
    return ranker


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(BUNDLED / name, folder / name)
    return folder


def random_rows(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(3, 60, length).tolist() for length in lengths]


def packed(rows: list[list[int]]) -> Rows:
    starts = np.cumsum([0, *map(len, rows)])
    return Rows.of(np.array([x for row in rows for x in row]), starts, CPU)


def test_exported_logits_are_those_of_our_engine(model, tokenizer, tmp_path):
    rows = random_rows([5, 40, 12, 64, 12])
    with torch.no_grad():
        ours = model(packed(rows), Kernels()).numpy()
    folder = write_folder(model, tmp_path / "out", tokenizer=tokenizer)
    spec = ModelSpec.read(folder)
    backend = NumpyBackend(spec, load_weights(folder, spec))
    batch = pack([Row(np.array(row, np.int32), np.zeros(len(row), np.int32)) for row in rows])
    assert backend.forward(batch) == pytest.approx(ours, abs=1e-3)
    small = write_int8(folder, tmp_path / "int8")
    reread = load_weights(small, ModelSpec.read(small))
    assert reread["dense.weight"] == pytest.approx(model.dense.weight.detach().numpy(), abs=0.01)


def test_a_row_reads_the_same_in_any_company(model):
    rows = random_rows([7, 30, 9])
    with torch.no_grad():
        together = model(packed(rows), Kernels())
        alone = torch.cat([model(packed([row]), Kernels()) for row in rows])
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-5)


def test_padded_attention_against_rows_one_by_one():
    torch.manual_seed(0)
    starts = np.cumsum([0, 3, 17, 4, 60, 1])
    q, k, v = torch.randn(3, int(starts[-1]), 2, 8)
    found = attend_padded(q, k, v, Layout.of(starts, CPU))
    for a, b in pairwise(starts):
        weights = torch.einsum("qhd,khd->hqk", q[a:b], k[a:b]) / 8**0.5
        expected = torch.einsum("hqk,khd->qhd", weights.softmax(-1), v[a:b])
        torch.testing.assert_close(found[a:b], expected, atol=1e-5, rtol=1e-4)


def test_weights_survive_the_way_out_and_in(model):
    other = Ranker(SHAPE)
    other.load_tensors(model.tensors())
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_a_smaller_model_starts_from_spread_layers(model):
    assert every_other(6, 12) == [1, 3, 5, 7, 9, 11]
    assert every_other(2, 12) == [5, 11]
    one = Ranker(replace(SHAPE, layers=1))
    one.load_tensors(model.tensors(), every_other(1, 3))
    assert torch.equal(one.encoder.layers[0].up.weight, model.encoder.layers[2].up.weight)
    assert torch.equal(one.dense.weight, model.dense.weight)


def test_a_late_join_begins_with_the_bi_encoder(model, tokenizer, tmp_path):
    late = Ranker(replace(SHAPE, join=2))
    late.load_tensors(model.tensors())
    late.freeze_apart()
    rows = random_rows([6, 20])
    sides = torch.tensor([[0, 1]])
    joined = Joined(torch.arange(26), sides, Layout.of(np.array([0, 26]), CPU))
    logit = late(packed(rows), Kernels(), joined)
    logit.sum().backward()
    frozen = [name for name, p in late.named_parameters() if p.grad is None]
    assert all(not late.get_parameter(name).requires_grad for name in frozen)
    assert late.encoder.layers[2].up.weight.grad is not None
    with torch.no_grad():
        query, passage = model.encoder.means(packed(rows), Kernels())
        late.logit.weight.zero_()
        late.logit.bias.zero_()
        expected = late.cosine * (query @ passage - 0.85)
        found = late(packed(rows), Kernels(), joined)
    assert float(found) == pytest.approx(float(expected), abs=1e-4)
    folder = write_folder(late, tmp_path / "late", tokenizer=tokenizer)
    with pytest.raises(ModelError, match="join_layer"):
        ModelSpec.read(folder)


def test_calibration_finds_the_line_that_made_the_labels(model):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20000)
    right = rng.random(20000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    a, b = fit_line(logits, right)
    assert (a, b) == pytest.approx((0.5, -1), abs=0.05)
    assert calibration_error(a * logits + b, right) < 0.02 < calibration_error(logits, right)
    rows = packed(random_rows([9, 4]))
    with torch.no_grad():
        before = model(rows, Kernels()).numpy()
        fold_line(model, a, b)
        after = model(rows, Kernels()).numpy()
    assert after == pytest.approx(a * before + b, abs=1e-5)


def test_calibration_of_labels_without_doubt_is_finite():
    a, b = fit_line(np.array([-1.0, 2.0]), np.array([False, True]))
    assert np.isfinite([a, b]).all()
    assert a > 0


def test_on_a_cpu_the_plain_kernels_serve():
    said: list[dict[str, object]] = []
    assert choose_kernels(CPU, SHAPE, said.append, compiled=True) == Kernels()
    assert json.dumps(said) == "[]"
