"""Each loss against the formula worked out in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import losses

LOGITS = torch.tensor([[2.0, 1.0, -1.0], [0.5, 3.0, 99.0]])
TEACHER = torch.tensor([[1.0, 0.5, -2.0], [0.0, 1.0, 55.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])


def softmax(values: list[float]) -> list[float]:
    sums = sum(map(math.exp, values))
    return [math.exp(value) / sums for value in values]


def rows() -> list[tuple[list[float], list[float]]]:
    counts = MASK.sum(1).tolist()
    return [(LOGITS[at, :n].tolist(), TEACHER[at, :n].tolist()) for at, n in enumerate(counts)]


def test_cross_entropy_of_the_right_one():
    expected = [-math.log(softmax(logits)[0]) for logits, _ in rows()]
    assert losses.right_first(LOGITS, MASK).tolist() == pytest.approx(expected, abs=1e-5)


def test_divergence_from_the_teacher():
    expected = [
        sum(p * math.log(p / q) for p, q in zip(softmax(told), softmax(said), strict=True))
        for said, told in rows()
    ]
    assert losses.divergence(LOGITS, TEACHER, MASK).tolist() == pytest.approx(expected, abs=1e-5)


def test_pointwise_weighs_right_and_wrong_alike():
    expected = []
    for logits, _ in rows():
        right = math.log1p(math.exp(-logits[0]))
        wrong = [math.log1p(math.exp(value)) for value in logits[1:]]
        expected.append(0.5 * right + 0.5 * sum(wrong) / len(wrong))
    assert losses.pointwise(LOGITS, MASK).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_silent_teacher_is_not_heard():
    weights = losses.Weights(right=0, pointwise=0, teacher=1, sharpness=1)
    heard = losses.ranking_loss(LOGITS, TEACHER, MASK, torch.tensor([1.0, 0.0]), weights)
    alone = losses.divergence(LOGITS, TEACHER, MASK)[0] / 2
    assert float(heard) == pytest.approx(float(alone), abs=1e-6)


def test_what_is_masked_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    total = losses.ranking_loss(logits, TEACHER, MASK, torch.ones(2), losses.Weights())
    (total + losses.distilling_loss(logits, TEACHER, MASK)).backward()
    assert logits.grad is not None
    assert float(logits.grad[1, 2]) == 0
    assert bool((logits.grad[MASK] != 0).all())


def test_a_student_that_says_what_its_teacher_says_learns_from_the_truth_alone():
    loss = losses.distilling_loss(TEACHER, TEACHER, MASK)
    truth = 0.1 * losses.right_first(TEACHER, MASK).mean()
    assert float(loss) == pytest.approx(float(truth), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=14))
def test_ndcg_of_one_right_passage(scores):
    logits = torch.tensor([scores], dtype=torch.float32)
    found = float(losses.ndcg_of_first(logits, torch.ones_like(logits, dtype=torch.bool)))
    rank = 1 + sum(score >= scores[0] for score in scores[1:])
    assert found == pytest.approx(1 / math.log2(rank + 1) if rank <= 10 else 0)
