"""The texts that are measured have the lengths that were asked for, and are the same every time."""

from __future__ import annotations

from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput, UnknownName
from secondpass.evaluation.workload import LENGTHS, given_workload, make_workload, row_lengths


def spans(text: str) -> list[tuple[int, int]]:
    """A token a character, which is enough to count with."""
    return [(at, at + 1) for at, character in enumerate(text) if not character.isspace()]


def test_real_lengths_are_log_normal_and_capped():
    lengths = row_lengths("real", 1000, 512)

    assert 105 <= median(lengths) <= 115
    assert 140 <= mean(lengths) <= 155
    assert max(lengths) == 510
    assert lengths == sorted(lengths)


@given(st.sampled_from(LENGTHS), st.integers(1, 50), st.integers(32, 512))
def test_there_are_as_many_rows_as_asked_for_and_none_is_too_long(kind, count, most):
    lengths = row_lengths(kind, count, most)

    assert len(lengths) == count
    assert 0 < min(lengths) <= max(lengths) <= most


@pytest.mark.parametrize(("kind", "count"), [("real", 100), ("long", 100), ("few", 8)])
def test_texts_differ_and_have_the_tokens_that_are_stated(kind, count):
    workload = make_workload(kind, spans)

    assert len(set(workload.texts)) == count
    around = len(spans(workload.query)) + 3
    assert [len(spans(text)) + around for text in workload.texts] == list(workload.tokens)
    if kind != "real":
        assert set(workload.tokens) == {510 if kind == "long" else 100}


def test_a_seed_gives_the_same_texts_and_another_one_others():
    assert make_workload("few", spans) == make_workload("few", spans)
    assert make_workload("few", spans).texts != make_workload("few", spans, seed=1).texts


def test_both_languages_are_there():
    texts = make_workload("long", spans).texts

    chinese = [text for text in texts if "\u4e00" <= text[0] <= "\u9fff"]
    assert 0 < len(chinese) < len(texts)


def test_given_texts_are_taken_once():
    workload = given_workload("why?", ["b", "a", "b"], spans)

    assert workload.texts == ("b", "a")
    assert workload.seed is None


def test_what_cannot_be_measured_is_an_error():
    with pytest.raises(UnknownName, match="unknown length 'huge'"):
        make_workload("huge", spans)
    with pytest.raises(InvalidInput, match="texts=0"):
        make_workload("real", spans, count=0)
    with pytest.raises(InvalidInput, match="is empty"):
        given_workload(" ", ["a"], spans)
