"""A late join over kept states gives what reading query and passage at once gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes.attention import Layout, attend_padded, attend_products
from recipes.bert import Joined, Kernels, Ranker, Rows, Shape, layer_names
from recipes.corpus import Ragged
from recipes.forms import LONGEST, formed, right_beside
from recipes.lists import Lists, Recipe, single_row
from recipes.losses import Weights, ranking_loss
from recipes.states import States, write_states
from recipes.upper import Asked, Pairs, Read, Upper, cost, kinds_of, packed, step_of, steps

SHAPE = Shape(vocabulary=200, hidden=32, layers=4, heads=4, intermediate=48, positions=512)
JOIN = 2
CPU = torch.device("cpu")


@pytest.fixture
def whole() -> Ranker:
    """A model that joins late, all of it at random."""
    torch.manual_seed(5)
    ranker = Ranker(replace(SHAPE, join=JOIN))
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for above, below in zip(ranker.tower, ranker.encoder.layers[JOIN:], strict=True):
            above.load_state_dict(below.state_dict())  # as training begins
    return ranker


@pytest.fixture
def read(whole, corpus, tmp_path) -> Read:
    kernels = Kernels(dtype=torch.float32)
    for name, prefix in (("passages", "passage"), ("queries", "query"), ("noised", "query")):
        rows, ids = getattr(corpus, name), corpus.prefixes[prefix]
        write_states(whole.encoder, rows, ids, JOIN, kernels, folder=tmp_path, name=name)
    return Read(*(States.load(tmp_path, name) for name in ("passages", "queries", "noised")))


@pytest.fixture
def upper(whole) -> Upper:
    """The same model over kept states."""
    model = Upper(SHAPE, JOIN)
    model.load_layers(whole.tensors(), layer_names)
    model.dense.load_state_dict(whole.dense.state_dict())
    model.logit.load_state_dict(whole.logit.state_dict())
    return model


def test_kept_states_give_the_logits_of_reading_at_once(whole, upper, corpus, read):
    """With nothing added to the sides, `Upper` is `Ranker` above the join, but for bfloat16."""
    chosen = [(0, 3), (1, 7), (2, 39)]
    rows = [single_row(corpus.prefixes["query"], corpus.queries[q]) for q, _ in chosen]
    rows += [single_row(corpus.prefixes["passage"], corpus.passages[p]) for _, p in chosen]
    starts = np.cumsum([0, *map(len, rows)])
    sides = np.array([[at, at + 3] for at in range(3)])
    tokens = np.concatenate(
        [np.arange(starts[row], starts[row + 1]) for pair in sides for row in pair]
    )
    both = np.cumsum([0, *(len(rows[a]) + len(rows[b]) for a, b in sides)])
    joined = Joined(torch.from_numpy(tokens), torch.from_numpy(sides), Layout.of(both, CPU))
    with torch.no_grad():
        expected = whole(Rows.of(np.concatenate(rows), starts, CPU), Kernels(), joined)
        asked = [Asked(q, False, np.array([p]), np.zeros(1, np.float32)) for q, p in chosen]
        upper.cosine.fill_(float(whole.cosine) / 30)
        found = upper(packed(asked, read), Kernels(attend_products))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=0.05)
    assert np.ptp(expected.numpy()) > 0.2


def test_sides_are_told_apart_and_shared_tokens_marked(upper, read):
    query, passage = np.array([5, 6, 7], np.uint16), np.array([7, 7, 9], np.uint16)
    assert kinds_of(query, passage).tolist() == [0, 0, 1, 3, 3, 2]
    asked = [Asked(0, False, np.array([3, 4]), np.zeros(2, np.float32))]
    pairs = packed(asked, read)
    with torch.no_grad():
        before = upper(pairs, Kernels())
        upper.sides[3] += 1.0
        assert not torch.allclose(before, upper(pairs, Kernels()))


def test_cosines_and_costs_of_a_list(read):
    asked = Asked(4, False, np.array([1, 2, 3]), np.zeros(3, np.float32))
    pairs = packed([asked], read)
    expected = read.passages.means[[1, 2, 3]].astype(np.float32) @ read.queries.means[4].astype(
        np.float32
    )
    assert pairs.cosines == pytest.approx(expected)
    assert cost(asked, read) == len(pairs.kinds) == pairs.starts[-1]


def test_products_are_padded_attention_and_so_are_their_gradients():
    torch.manual_seed(0)
    starts = np.cumsum([0, 3, 17, 4, 60, 1])
    sides = [torch.randn(int(starts[-1]), 2, 8, requires_grad=True) for _ in range(3)]
    layout, weight = Layout.of(starts, CPU), torch.randn(int(starts[-1]), 2, 8)
    results = [attend(*sides, layout) for attend in (attend_padded, attend_products)]
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)
    for ours, expected in zip(
        *(torch.autograd.grad((each * weight).sum(), sides) for each in results), strict=True
    ):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_every_step_is_a_function_of_its_number(corpus, mined, read):
    lists = Lists(corpus, mined, Recipe(tokens=2000, most_places=5), seed=3)
    fourth = step_of(lists, read, 3)
    again = [pairs for pairs, _ in zip(steps(lists, read, 2), range(2), strict=False)][1]
    assert np.array_equal(fourth.pairs.states, again.pairs.states)
    assert np.array_equal(fourth.pairs.lists, again.pairs.lists)
    assert len(fourth.ids) <= 2000
    assert fourth.pairs.lists.max() == len(fourth.pairs.starts) - 2
    assert fourth.teacher is None


def test_learning_lowers_the_loss(upper, corpus, mined, read):
    lists = Lists(corpus, mined, Recipe(tokens=1500, most_places=4), seed=3)
    pairs = step_of(lists, read, 0).pairs
    optimizer = torch.optim.AdamW(upper.parameters(), lr=3e-3)
    losses = [float(step(upper, pairs, optimizer)) for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


def step(upper: Upper, pairs: Pairs, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    places = torch.from_numpy(pairs.lists.astype(np.int64))
    logits = upper(pairs, Kernels())[places.clamp(min=0)]
    teacher, soft = torch.from_numpy(pairs.teacher), torch.from_numpy(pairs.soft)
    loss = ranking_loss(logits, teacher, places >= 0, soft, Weights())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def test_a_form_keeps_something_of_its_passage_and_says_who_stands_beside(corpus):
    made, beside = formed(corpus, np.ones(200, np.float32))
    assert len(made.passages) == len(corpus.passages)
    assert (made.passages.lengths() <= LONGEST).all()
    for at in range(len(made.passages)):
        ours, original = made.passages[at].tolist(), corpus.passages[at].tolist()
        assert set(ours) & set(original)
        if beside[at] < 0:
            assert any(
                original[start : start + len(ours)] == ours
                for start in range(len(original) - len(ours) + 1)
            )
    assert (beside >= 0).any()


def test_what_stands_beside_answers_its_own_queries(corpus):
    beside = np.full(40, -1, np.int64)
    beside[5] = 9
    keys = right_beside(corpus, beside)
    asking = np.flatnonzero(corpus.positive == 9)
    assert keys.tolist() == sorted((corpus.same[asking].astype(np.int64) * 40 + 5).tolist())
    assert right_beside(corpus, np.full(40, -1)).size == 0


def test_states_are_kept_whole(read, corpus):
    assert len(read.passages.rows) == 40
    assert isinstance(read.passages.rows, Ragged)
    lengths = corpus.passages.lengths() + 4
    assert np.array_equal(read.passages.rows.lengths(), lengths)
    assert np.linalg.norm(read.passages.means.astype(np.float32), axis=1) == pytest.approx(
        1, abs=1e-2
    )


def test_a_smaller_one_begins_with_a_larger_ones_first_and_last_layer(upper):
    torch.manual_seed(6)
    larger = Upper(replace(SHAPE, layers=6), 3)
    smaller = Upper(SHAPE, JOIN)
    smaller.load_upper(larger.state_dict())
    for ours, theirs in ((0, 0), (1, 2)):
        expected = larger.layers[theirs].state_dict()
        for key, value in smaller.layers[ours].state_dict().items():
            assert torch.equal(value, expected[key])
    assert torch.equal(smaller.dense.weight, larger.dense.weight)
    assert torch.equal(smaller.sides, larger.sides)


def test_a_teacher_reads_the_same_lists(corpus, mined, read):
    lists = Lists(corpus, mined, Recipe(tokens=2000, most_places=5), seed=3)
    step = step_of(lists, read, 1, teacher=read)
    assert step.teacher is not None
    assert np.array_equal(step.teacher.lists, step.pairs.lists)
    assert np.array_equal(step.teacher.cosines, step.pairs.cosines)
