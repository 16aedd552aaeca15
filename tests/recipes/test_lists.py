"""Augmentations keep what answers; packs hold every row once; a step is a function of its number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes.augment import Vocabulary, among_strangers, best_sentence, crop, query_from, sentences
from recipes.corpus import BOS, EOS
from recipes.lists import Lists, Question, Recipe, pack, pack_apart, tokens_of
from recipes.scoring import join, spans, validation

SMALL = Recipe(tokens=3000, most_places=6, most_tokens=128)
ids = st.lists(st.integers(5, 60), min_size=1, max_size=90).map(
    lambda row: np.array(row, np.uint16)
)
ENDS = np.arange(64) == 7


def holds(whole: np.ndarray, part: np.ndarray) -> bool:
    width = len(part)
    spots = range(len(whole) - width + 1)
    return any((whole[at : at + width] == part).all() for at in spots)


@settings(max_examples=100, deadline=None)
@given(ids, st.data())
def test_a_crop_keeps_the_answer(passage, data):
    start = data.draw(st.integers(0, len(passage) - 1))
    end = data.draw(st.integers(start + 1, len(passage)))
    length = data.draw(st.integers(end - start, 100))
    found = crop(passage, (start, end), length, np.random.default_rng(start))
    assert len(found) == min(length, len(passage))
    assert holds(found, passage[start:end])
    assert holds(passage, found)


@settings(max_examples=100, deadline=None)
@given(ids, ids, st.integers(10, 200), st.integers(0, 9))
def test_strangers_leave_the_passage_whole(passage, stranger, longest, seed):
    found = among_strangers(passage, stranger, longest, np.random.default_rng(seed))
    assert holds(found, passage)
    assert len(found) <= max(longest, len(passage))


@settings(max_examples=100, deadline=None)
@given(ids, st.integers(0, 9), st.booleans())
def test_a_cut_out_query_and_the_rest_make_the_passage(passage, seed, first):
    made = query_from(passage, ENDS, np.random.default_rng(seed), first=first)
    if made is not None:
        query, rest = made
        assert holds(passage, query)
        assert len(rest) in (len(passage), len(passage) - len(query)) or len(query) == 64
        if first:
            assert (passage[: len(query)] == query).all()


@settings(max_examples=100, deadline=None)
@given(ids)
def test_sentences_cover_the_passage(passage):
    bounds = sentences(passage, ENDS)
    assert bounds[0] == 0
    assert bounds[-1] == len(passage)
    assert all(ENDS[passage[end - 1]] for end in bounds[1:-1])


def test_the_best_sentence_shares_the_rarest_words():
    words = Vocabulary(np.arange(64, dtype=np.uint16), np.ones(64, np.float32), ENDS)
    passage = np.array([20, 21, 7, 30, 31, 7, 40, 41], np.uint16)
    assert best_sentence(passage, np.array([31], np.uint16), words) == (3, 6)
    assert best_sentence(passage, np.array([50], np.uint16), words) == (0, 3)


@pytest.fixture
def lists(corpus, mined) -> Lists:
    return Lists(corpus, mined, SMALL, seed=5)


def test_a_step_is_a_function_of_its_number(lists, corpus, mined):
    again = Lists(corpus, mined, SMALL, seed=5)
    for step in (3, 0, 7):
        ours, theirs = lists.batch(step), again.batch(step)
        assert (ours.ids == theirs.ids).all()
        assert (ours.lists == theirs.lists).all()
    other = lists.batch(1)
    assert len(other.ids) != len(lists.batch(2).ids) or (other.ids != lists.batch(2).ids).any()


@pytest.mark.parametrize("step", range(5))
def test_a_batch_holds_every_row_once_within_its_tokens(lists, step):
    batch = lists.batch(step)
    rows = batch.lists[batch.lists >= 0]
    assert sorted(rows) == list(range(len(batch.starts) - 1))
    assert len(batch.ids) <= SMALL.tokens
    assert (np.diff(batch.starts) <= SMALL.most_tokens).all()
    for row in range(len(batch.starts) - 1):
        ids = batch.ids[batch.starts[row] : batch.starts[row + 1]]
        assert ids[0] == BOS
        assert ids[-1] == EOS
        assert (ids == EOS).sum() == 3


def test_only_usable_queries_that_are_not_held_out_are_drawn(lists, corpus, mined):
    usable, sums = lists.drawn
    assert len(usable)
    assert not corpus.held_out[usable].any()
    assert mined.usable[usable].all()
    assert (np.diff(sums) > 0).all()


def test_no_right_passage_is_among_the_wrong_ones(lists, corpus):
    rng = np.random.default_rng(0)
    for at in range(60):
        others, teacher = lists.wrong(at, 7, rng)
        assert corpus.positive[at] not in others
        assert len(teacher) == len(others) + 1


def test_validation_takes_held_out_queries_only(lists, corpus, mined):
    questions = validation(lists, 50, 5, 128)
    held = np.flatnonzero(corpus.held_out & mined.usable)
    assert len(questions) == len(held)
    expected = {tuple(corpus.queries[int(at)]) for at in held}
    assert {tuple(each.query) for each in questions} == expected


def questions(count: int) -> list[Question]:
    rng = np.random.default_rng(count)
    return [
        Question(
            rng.integers(5, 99, 4).astype(np.uint16),
            [rng.integers(5, 99, n).astype(np.uint16) for n in rng.integers(3, 20, 3)],
            np.arange(3, dtype=np.float32),
            1.0,
        )
        for _ in range(count)
    ]


def test_packing_keeps_each_passage_at_its_place():
    made = questions(4)
    batch = pack(made)
    for at, each in enumerate(made):
        for place, passage in enumerate(each.passages):
            row = batch.lists[at, place]
            ids = batch.ids[batch.starts[row] : batch.starts[row + 1]].tolist()
            assert ids == [BOS, *each.query, EOS, EOS, *passage, EOS]


def test_rows_read_apart_join_to_query_and_passage():
    torch = pytest.importorskip("torch")
    made = questions(4)
    batch = pack_apart(made, {"query": [1], "passage": [2]})
    joined = join(batch, torch.device("cpu"))
    starts = joined.layout.starts.tolist()
    for at, each in enumerate(made):
        for place, passage in enumerate(each.passages):
            pair = batch.lists[at, place]
            tokens = joined.tokens[starts[pair] : starts[pair + 1]].numpy()
            expected = [BOS, 1, *each.query, EOS, BOS, 2, *passage, EOS]
            assert batch.ids[tokens].tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(20, 400))
def test_spans_cover_all_lists_in_order(count, tokens):
    made = questions(count)
    found = spans(made, tokens, apart=False)
    assert [at for span in found for at in span] == list(range(count))
    for span in found:
        costs = [tokens_of(made[at], apart=False) for at in span]
        assert len(span) == 1 or sum(costs) <= tokens


def test_a_recipe_that_holds_no_list_is_refused(corpus, mined):
    with pytest.raises(ValueError, match="tokens=10 cannot hold a list"):
        Lists(corpus, mined, replace(SMALL, tokens=10), 0).batch(0)
