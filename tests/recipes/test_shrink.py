"""A smaller encoder learns what the whole one says, and only its layers do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes.bert import Kernels, Ranker, Shape
from recipes.shrink import Spread, Texts, shrunk, unexplained, write_start
from recipes.start import load_start
from recipes.states import write_states

from recipes import shrink

SHAPE = Shape(vocabulary=200, hidden=32, layers=4, heads=4, intermediate=48, positions=512)


@pytest.fixture
def whole() -> Ranker:
    torch.manual_seed(5)
    ranker = Ranker(SHAPE)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return ranker


@pytest.fixture
def texts(whole, corpus, tmp_path) -> Texts:
    for name in shrink.SIDES:
        rows, ids = getattr(corpus, name), corpus.prefixes["passage"]
        write_states(whole.encoder, rows, ids, 3, Kernels(), folder=tmp_path, name=name)
    return Texts.load(tmp_path)


@pytest.fixture
def small(whole, monkeypatch) -> Ranker:
    monkeypatch.setattr(shrink, "Shape", lambda layers: replace(SHAPE, layers=layers))
    return shrunk(whole.tensors(), [0, 2, 3])


def test_texts_that_are_held_out_are_never_learned_from(texts):
    learned = np.concatenate([texts.step(at, 2000).ids for at in range(3)])
    assert len(learned)
    held = {tuple(row) for row in texts.rows[texts.held()].tolist()}
    assert held
    everything = texts.step(0, 10**9)
    assert len(everything.means) == len(texts.rows) - len(held)


def test_the_whole_encoder_leaves_nothing_unexplained(whole, texts):
    spread, told = Spread.of(texts), texts.step(1, 500)
    with torch.no_grad():
        states, means = unexplained(whole.encoder, 3, told, spread)
    assert float(states) < 2e-3  # the kept states are bfloat16
    assert float(means) < 2e-2


def test_learning_explains_more_and_moves_the_layers_only(small, texts, tmp_path):
    before = {name: value.copy() for name, value in small.tensors().items()}
    spread, told = Spread.of(texts), texts.step(0, 1500)
    optimizer = torch.optim.AdamW([p for p in small.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(25):
        states, means = unexplained(small.encoder, 2, told, spread)
        losses.append(float((states + means).detach()))
        optimizer.zero_grad()
        (states + means).backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    write_start(small, tmp_path / "start.npz")
    after = load_start(tmp_path / "start.npz")
    moved = {n.split(".")[0] for n, v in after.items() if not np.array_equal(v, before[n])}
    assert moved == {"encoder"}
    assert not any(name.startswith(("dense", "logit")) for name in after)
