"""Which passages become negatives: each filter by itself, and the order in which they are taken."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.duplicates import shingles
from secondpass.errors import InvalidInput
from secondpass.training.selection import (
    Draw,
    Fresh,
    Mining,
    Option,
    Rights,
    Tally,
    admitted,
    in_turn,
    nearly_equal,
)
from secondpass.types import Passage

SENTENCE = "The giant panda is a bear that lives in the mountains of central China and eats bamboo."


def options(*scores: float) -> list[Option]:
    return [Option(f"p{at}", at + 1, score) for at, score in enumerate(scores)]


def test_what_is_known_to_be_right_or_too_good_is_refused_and_counted():
    offered = zip(options(9, 3, 2, 1), ["d0", "d1", "d1", "d2"], strict=True)
    rights = Rights((), passages={"p1"}, documents={"d1"}, score=0)
    refused = Tally()

    kept = list(admitted(offered, rights, Mining(), 1, refused))

    assert [one.id for one in kept] == ["p3"]
    assert refused == {"margin": 1, "right": 1, "same_document": 1}


def test_the_same_document_may_be_kept():
    offered = zip(options(1, 2), ["d1", "d1"], strict=True)
    rights = Rights((), passages={"p0"}, documents={"d1"}, score=0)

    kept = admitted(offered, rights, Mining(same_document=True), math.inf, Tally())

    assert [one.id for one in kept] == ["p1"]


@given(count=st.integers(0, 40), first=st.integers(0, 40), seed=st.integers())
def test_any_first_few_are_half_of_the_hardest_third(count, first, seed):
    ranked = options(*(0.0 for _ in range(count)))

    order = in_turn(ranked, Random(seed))

    assert sorted(order, key=lambda one: one.rank) == ranked
    third = math.ceil(count / 3)
    hard = sum(one.rank <= third for one in order[:first])
    assert hard == min(third, max(math.ceil(first / 2), min(first, count) - (count - third)))


def test_every_option_of_a_part_comes_as_likely():
    ranked = options(*range(9))
    first = [in_turn(ranked, Random(seed))[0].rank for seed in range(600)]

    assert set(first) == {1, 2, 3}
    assert min(first.count(rank) for rank in (1, 2, 3)) > 150


def draw_of(texts: dict[str, str], *, strangers: list[str], mining: Mining, rights=()) -> Draw:
    passages = {id: Passage(id, text, id) for id, text in texts.items()}
    fresh = Fresh(
        texts=rights,
        threshold=mining.near_duplicate,
        get=lambda ids: [passages[id] for id in ids if id in passages],
        refused=Tally(),
    )
    ranked = [Option(id, at + 1, 0.0) for at, id in enumerate(texts) if id not in strangers]
    return Draw(ranked, [Option(id, None, 0.0) for id in strangers], fresh, mining)


def test_what_is_refused_is_replaced_until_nothing_is_left():
    texts = {"a": "one", "b": "two", "c": "three", "d": "four", "x": "far", "y": "farther"}
    draw = draw_of(texts, strangers=["x", "y"], mining=Mining(negatives=2, strangers=1))

    asked = []
    while offered := draw.turn():
        asked.append([one.id for one in offered])
        draw.take([(one, 5.0 if one.id in "abx" else 1.0) for one in offered], 2.0)

    assert asked == [["a", "b", "x"], ["c", "d", "y"]]
    assert [(one.id, one.score, one.text) for one in draw.taken] == [
        ("c", 1.0, "three"),
        ("d", 1.0, "four"),
        ("y", 1.0, "farther"),
    ]


def test_repeats_near_duplicates_and_passages_that_are_gone_are_left_out():
    texts = {
        "near": SENTENCE.replace("central", "middle"),
        "held": SENTENCE[:60],
        "other": "Bamboo is a grass.",
        "again": "Bamboo is a grass.",
        "same": SENTENCE,
    }
    mining = Mining(negatives=9, near_duplicate=0.6)
    draw = draw_of(texts, strangers=["again", "gone"], mining=mining, rights=(SENTENCE,))

    assert [one.id for one in draw.turn()] == ["other"]
    assert draw._fresh.refused == {"near_duplicate": 3, "repeated": 1}


def test_a_phrase_that_is_held_by_chance_is_no_near_duplicate():
    phrase, whole = shingles("the giant panda is a bear"), shingles(SENTENCE)

    assert not nearly_equal(phrase, whole, 0.8)
    assert nearly_equal(shingles(SENTENCE[:60]), whole, 0.8)
    assert nearly_equal(phrase, shingles("The giant panda is a bear!"), 0.8)


@pytest.mark.parametrize(
    "values",
    [
        {"first_rank": 0},
        {"first_rank": 5, "last_rank": 4},
        {"negatives": 0, "strangers": 0},
        {"negatives": -1},
        {"near_duplicate": 0.0},
        {"margin": math.nan},
    ],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(InvalidInput, match="expected"):
        Mining(**values)
