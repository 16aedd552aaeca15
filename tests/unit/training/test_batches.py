from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessons import lessons
from secondpass.engine.encode import Reach, encode_pairs
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.training.batches import EncodedLists, plan_steps
from secondpass.training.lists import TrainingList

sizes = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(sizes, st.integers(10, 200), st.integers(1, 4), st.integers(0, 5))
def test_every_list_comes_once_an_epoch_within_the_budget(tokens, budget, epochs, seed):
    steps = plan_steps(tokens, batch_tokens=budget, epochs=epochs, steps=None, seed=seed)

    flat = [number for step in steps for number in step]
    for epoch in range(epochs):
        part = flat[epoch * len(tokens) : (epoch + 1) * len(tokens)]
        assert sorted(part) == list(range(len(tokens)))
    for step in steps:
        assert len(step) == 1 or sum(tokens[number] for number in step) <= budget


@given(sizes, st.integers(10, 200), st.integers(0, 5), st.integers(1, 30))
def test_a_plan_is_decided_by_its_seed_and_steps_only_end_it(tokens, budget, seed, most):
    def plan(steps):
        return plan_steps(tokens, batch_tokens=budget, epochs=3, steps=steps, seed=seed)

    assert plan(None) == plan(None)
    assert plan(most) == plan(None)[:most]


def test_epochs_and_seeds_have_orders_of_their_own():
    plans = [
        plan_steps([1] * 50, batch_tokens=50, epochs=2, steps=None, seed=seed) for seed in (0, 1)
    ]
    orders = {tuple(step) for plan in plans for step in plan}

    assert len(orders) == 4


def test_lengths_are_mixed_within_a_step():
    tokens = [10] * 200 + [100] * 200

    steps = plan_steps(tokens, batch_tokens=1000, epochs=1, steps=None, seed=0)

    mixed = [step for step in steps if len({tokens[number] for number in step}) == 2]
    assert len(mixed) > 0.9 * len(steps)


@pytest.fixture(params=["bert", "bert-untyped", "xlm-roberta"])
def reader(request, checkpoint):
    folder = checkpoint(request.param)
    spec = ModelSpec.read(folder)
    return spec, PairTokenizer.load(folder, vocabulary=spec.vocabulary)


def rows_of(step):
    """The rows of a step without padding, in the order of the texts."""
    rows = [
        (
            ids[mask == 1].tolist(),
            None if chunk.types is None else chunk.types[at][mask == 1].tolist(),
        )
        for chunk in step.chunks
        for at, (ids, mask) in enumerate(zip(chunk.ids, chunk.mask, strict=True))
    ]
    return [rows[place] for place in step.places]


def test_a_step_has_the_rows_that_the_engine_would_read(reader):
    spec, tokenizer = reader
    lists = [*lessons(6), TrainingList("long", ("giant panda " * 60, "a"), (1.0, 0.0))]
    encoded = EncodedLists(lists, tokenizer, spec, 40)
    numbers = [6, 2, 4]

    step = encoded.step(numbers, chunk_tokens=100)

    chosen = [lists[number] for number in numbers]
    pairs = [(one.query, text) for one in chosen for text in one.texts]
    reach = Reach(spec.max_tokens, 40, 0, "truncate")
    expected = encode_pairs(pairs, tokenizer, reach, spec.token_types).rows
    found = rows_of(step)
    assert [ids for ids, _ in found] == [row.ids.tolist() for row in expected]
    assert step.sizes == [2, 4, 4]
    assert encoded.cut == 1
    assert [len(row.ids) for row in expected[:2]] == encoded.lengths[6].tolist()
    if spec.token_types > 1:
        assert [types for _, types in found] == [row.types.tolist() for row in expected]
    else:
        assert all(types is None for _, types in found)


def test_padding_is_the_models_own(reader):
    spec, tokenizer = reader
    lists = [TrainingList("why", ("giant panda bear", "a"), (1.0, 0.0))]

    (chunk,) = EncodedLists(lists, tokenizer, spec, 64).step([0], chunk_tokens=1000).chunks

    assert set(chunk.ids[chunk.mask == 0]) == {spec.padding_id or 0}


def test_labels_and_scores_go_with_their_lists(reader):
    spec, tokenizer = reader
    lists = [*lessons(2), *lessons(1, seed=3, scores=True)]

    step = EncodedLists(lists, tokenizer, spec, 64).step([2, 0], chunk_tokens=1000)

    assert [labels.tolist() for labels in step.labels] == [[1, 0, 0, 0]] * 2
    assert step.scores[0] == pytest.approx(np.array(lists[2].scores))
    assert len(step.scores[1]) == 0


def test_a_query_that_fills_the_model_is_left_out_and_counted(reader):
    spec, tokenizer = reader
    told = []
    lists = [TrainingList("panda " * 80, ("a", "b"), (1.0, 0.0)), *lessons(2)]

    encoded = EncodedLists(
        lists, tokenizer, spec, 64, lambda done, total: told.append((done, total))
    )

    assert (len(encoded), encoded.left_out) == (2, 1)
    assert told[-1][0] == told[-1][1] > 0
