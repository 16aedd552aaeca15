from __future__ import annotations

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from secondpass.training.lists import TrainingList
from secondpass.training.measures import calibration_error, fit_line, ndcg, order_quality

numbers = st.integers(-20, 20)


@given(
    st.lists(
        st.tuples(numbers, st.sampled_from([0, 1])),
        min_size=1,
        max_size=25,
        unique_by=lambda x: x[0],
    )
)
def test_ndcg_is_that_of_trec_where_no_scores_are_equal(rows):
    scores, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    qrels = {"q": {f"d{at}": int(label) for at, label in enumerate(labels)}}
    run = {"q": {f"d{at}": float(score) for at, score in enumerate(scores)}}
    (expected,) = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run).values()

    assert ndcg(scores, labels) == pytest.approx(expected["ndcg_cut_10"])


def test_equal_scores_count_in_the_worst_order():
    assert ndcg(np.zeros(4), np.array([1.0, 0, 0, 0])) == pytest.approx(1 / math.log2(5))


def test_a_grade_counts_as_it_is():
    scores, labels = np.array([2.0, 1.0]), np.array([0.5, 1.0])

    best = 1 + 0.5 / math.log2(3)
    assert ndcg(scores, labels) == pytest.approx((0.5 + 1 / math.log2(3)) / best)


def test_nothing_right_is_no_quality():
    assert ndcg(np.array([1.0, 2.0]), np.zeros(2)) == 0.0


def test_the_mean_is_over_lists():
    one = TrainingList("q", ("a", "b"), (1.0, 0.0))

    assert order_quality([np.array([2.0, 1.0]), np.array([1.0, 2.0])], [one, one]) == pytest.approx(
        (1 + 1 / math.log2(3)) / 2
    )


@pytest.mark.parametrize(("a", "b"), [(2.0, -1.0), (0.3, 0.5), (1.0, 0.0)])
def test_the_line_is_found_again(a, b):
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 2, 40_000)
    right = draw.random(40_000) < 1 / (1 + np.exp(-(a * logits + b)))

    assert fit_line(logits, right) == pytest.approx((a, b), abs=0.06)
    assert calibration_error(a * logits + b, right) < 0.01


def test_a_line_never_turns_the_order_around():
    logits = np.linspace(-3, 3, 100)

    a, _ = fit_line(logits, logits < 0)
    assert a > 0


def test_a_certain_model_that_is_wrong_half_of_the_time_is_off_by_a_half():
    right = np.array([True, False] * 50)

    assert calibration_error(np.full(100, 20.0), right) == pytest.approx(0.5, abs=1e-6)
