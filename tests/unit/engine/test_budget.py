"""Scoring within a budget: a clock that only work moves, so that time itself is tested, not waited."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.engine.budget import CostModel, check_budget, within, work
from secondpass.errors import InvalidInput

sizes_of_texts = st.lists(st.integers(0, 4000), min_size=1, max_size=80)


@dataclass
class Machine:
    """Scores texts in simulated time: so many seconds a byte."""

    sizes: list[int]
    seconds_a_byte: float
    now: float = 0.0
    slices: list[tuple[int, int]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def score(self, start: int, end: int) -> None:
        self.now += work(self.sizes[start:end]) * self.seconds_a_byte
        self.slices.append((start, end))


def learnt(seconds_a_byte: float) -> CostModel:
    costs = CostModel()
    costs.learn([1000], work([1000]) * seconds_a_byte)
    return costs


@given(sizes_of_texts, st.floats(1e-3, 5.0))
def test_slices_follow_each_other_from_the_first_text(sizes: list[int], seconds: float) -> None:
    machine = Machine(sizes, 1e-4)
    reached = within(seconds, sizes, learnt(1e-4), machine.score, machine.clock)
    edges = [0, *(end for _, end in machine.slices)]
    assert machine.slices == list(itertools.pairwise(edges))
    assert edges[-1] == reached


@given(sizes_of_texts, st.floats(1e-3, 5.0))
def test_a_model_that_is_right_never_oversteps(sizes: list[int], seconds: float) -> None:
    machine = Machine(sizes, 1e-4)
    within(seconds, sizes, learnt(1e-4), machine.score, machine.clock)
    assert machine.now <= seconds + 1e-9


@given(sizes_of_texts, st.floats(1e-3, 5.0))
def test_what_is_left_out_would_not_have_fitted(sizes: list[int], seconds: float) -> None:
    machine = Machine(sizes, 1e-4)
    reached = within(seconds, sizes, learnt(1e-4), machine.score, machine.clock)
    if reached < len(sizes):
        assert machine.now + work([sizes[reached]]) * 1e-4 > seconds * 0.97 - 1e-9


@given(sizes_of_texts, st.floats(0.1, 5.0), st.floats(0.5, 1.6))
def test_a_wrong_model_oversteps_by_less_than_it_is_wrong(
    sizes: list[int], seconds: float, slower: float
) -> None:
    machine = Machine(sizes, 1e-4 * slower)
    within(seconds, sizes, learnt(1e-4), machine.score, machine.clock)
    assert machine.now <= seconds * max(1.0, slower)


def test_time_for_everything_reaches_everything() -> None:
    machine = Machine([300] * 50, 1e-4)
    assert within(60.0, machine.sizes, CostModel(), machine.score, machine.clock) == 50


def test_the_first_call_of_all_begins_with_a_single_text_and_learns() -> None:
    costs = CostModel()
    machine = Machine([300] * 50, 1e-3)
    within(2.0, machine.sizes, costs, machine.score, machine.clock)
    assert machine.slices[0] == (0, 1)
    assert costs.fitting([300] * 50, 2.0) == pytest.approx(2.0 / (work([300]) * 1e-3), abs=1)


def test_no_time_scores_nothing() -> None:
    machine = Machine([300], 1.0)
    assert within(0.01, machine.sizes, learnt(1.0), machine.score, machine.clock) == 0


def test_calls_that_say_nothing_are_not_learnt_from() -> None:
    costs = learnt(1e-3)
    costs.learn([], 1.0)
    costs.learn([100], 0.0)
    assert costs.fitting([984], 1.0) == 1
    assert costs.fitting([985], 1.0) == 0


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf, "150", True])
def test_what_is_no_span_of_time_is_refused(budget: object) -> None:
    with pytest.raises(InvalidInput, match="expected milliseconds above 0"):
        check_budget(budget)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [None, 1, 0.5, 150])
def test_spans_of_time_pass(budget: float | None) -> None:
    check_budget(budget)
