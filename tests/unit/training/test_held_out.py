from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessons import lessons, lessons_file
from secondpass.errors import InvalidInput
from secondpass.training import held_out
from secondpass.training.held_out import has_both, split
from secondpass.training.lists import TrainingList
from secondpass.training.recipe import Recipe

SHARE = Recipe(validation_share=0.2)


def test_a_share_of_the_queries_is_held_out():
    found = split(lessons(500), SHARE)

    assert len(found.training) + len(found.validation) == 500
    assert 70 < len(found.validation) < 130


@given(st.permutations(range(60)))
def test_what_is_held_out_does_not_depend_on_order_or_company(order):
    lists = lessons(60)
    held = {one.query for one in split(lists, SHARE).validation}

    assert {one.query for one in split([lists[at] for at in order], SHARE).validation} == held
    assert held >= {one.query for one in split(lists[:50], SHARE).validation}


def test_a_query_is_on_one_side_alone_however_it_is_written():
    lists = lessons(60)
    again = [TrainingList(f"  {one.query.upper()} ", ("x", "y"), (1.0, 0.0)) for one in lists]

    found = split([*lists, *again], SHARE)
    held = {one.query.strip().casefold() for one in found.validation}

    assert len(found.training) + len(found.validation) == 120
    assert not held & {one.query.strip().casefold() for one in found.training}


def test_lists_without_a_right_or_a_wrong_text_are_not_measured_on():
    lists = [TrainingList(f"query {at}", ("a", "b"), (0.0, 0.0)) for at in range(100)]

    found = split([*lists, *lessons(60)], SHARE)

    assert all(map(has_both, found.validation))
    assert sum(not has_both(one) for one in found.training) == 100


def test_no_more_are_held_out_than_a_check_should_read(monkeypatch):
    monkeypatch.setattr(held_out, "MOST", 7)

    found = split(lessons(100), Recipe(validation_share=0.5))

    assert (len(found.validation), len(found.training)) == (7, 93)


def test_a_file_may_hold_the_validation_lists(tmp_path):
    lists = lessons(30)
    file = lessons_file(tmp_path / "held.jsonl", 5)

    found = split(lists, Recipe(validation=str(file)))

    assert sorted(found.validation, key=lambda one: one.query) == sorted(
        lists[:5], key=lambda one: one.query
    )
    assert (len(found.training), found.also_held_out) == (25, 5)


def test_too_few_lists_to_measure_on_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"holds \d of 10 lists out; expected at least 4"):
        split(lessons(10), Recipe(validation_share=0.01))
    file = lessons_file(tmp_path / "held.jsonl", 3)
    with pytest.raises(InvalidInput, match=r"'.*held.jsonl' has 3 lists to measure on"):
        split(lessons(10), Recipe(validation=str(file)))


def test_lists_that_teach_nothing_are_refused(tmp_path):
    file = lessons_file(tmp_path / "held.jsonl", 5)
    lists = [TrainingList(f"query {at}", ("a", "b"), (1.0, 1.0)) for at in range(9)]

    with pytest.raises(InvalidInput, match="none of 9 training lists has a right and a wrong text"):
        split(lists, Recipe(validation=str(file)))
