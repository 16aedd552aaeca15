from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from secondpass.errors import UnknownName
from secondpass.training.losses import RANKING, Given, ListLoss, Weights, divergence, logits_of
from secondpass.training.recipe import LOSSES

LOGITS = [2.0, 0.5, -1.0, 0.3, 1.2]  # a list of three texts and one of two
LABELS = [[1.0, 0.0, 0.0], [0.0, 1.0]]
SIZES = [3, 2]
NONE = [torch.zeros(0), torch.zeros(0)]


def terms(ranking="lambda", scores=NONE, weights=None, logits=None):
    loss = ListLoss(nn.Identity(), ranking, weights or Weights())
    given = torch.tensor(LOGITS, requires_grad=True) if logits is None else logits
    return loss.terms(given, SIZES, [torch.tensor(one) for one in LABELS], scores)


def softplus(x):
    return math.log1p(math.exp(x))


def test_ranknet_is_the_mean_over_pairs_in_bits():
    pairs = [2.0 - 0.5, 2.0 - -1.0, 1.2 - 0.3]

    expected = sum(softplus(-difference) for difference in pairs) / 3 / math.log(2)
    assert terms("ranknet")["ranking"].item() == pytest.approx(expected, rel=1e-5)


def test_listnet_is_cross_entropy_against_the_right_text():
    def cross_entropy(logits, labels):
        target = [math.exp(10 * label) for label in labels]
        whole = math.log(sum(map(math.exp, logits)))
        return -sum(t / sum(target) * (x - whole) for t, x in zip(target, logits, strict=True))

    expected = (cross_entropy(LOGITS[:3], LABELS[0]) + cross_entropy(LOGITS[3:], LABELS[1])) / 2
    assert terms("listnet")["ranking"].item() == pytest.approx(expected, rel=1e-5)


def test_lambda_weighs_pairs_by_what_their_swap_would_cost():
    """NDCGLoss2++ with mu = 10, of the LambdaLoss paper, over both lists' three ordered pairs."""

    def discount(rank):
        return math.log2(1 + rank)

    def weight(high, low):  # ranks of the right and of the wrong text; the ideal DCG is 1
        distance = abs(high - low)
        second = abs(1 / discount(distance) - 1 / discount(distance + 1))
        first = abs(1 / discount(high) - 1 / discount(low))
        return 10 * second + first

    pairs = [(1, 2, 1.5), (1, 3, 3.0), (1, 2, 0.9)]  # rank of right, of wrong, difference
    expected = sum(weight(a, b) * softplus(-x) for a, b, x in pairs) / 3 / math.log(2)
    assert terms("lambda")["ranking"].item() == pytest.approx(expected, rel=1e-5)


def test_plistmle_prefers_the_right_order():
    right = terms("plistmle", logits=torch.tensor([3.0, 0.0, 0.0, 0.0, 3.0]))["ranking"]
    wrong = terms("plistmle", logits=torch.tensor([0.0, 3.0, 3.0, 3.0, 0.0]))["ranking"]

    assert right < wrong


def test_the_pointwise_term_is_binary_cross_entropy():
    flat = [label for one in LABELS for label in one]
    mean = (
        sum(softplus(-x) if label else softplus(x) for x, label in zip(LOGITS, flat, strict=True))
        / 5
    )

    assert terms(weights=Weights(pointwise=0.3))["pointwise"].item() == pytest.approx(0.3 * mean)


def test_the_teachers_term_is_the_divergence_of_lists_that_have_scores():
    scores = [torch.tensor([4.0, 0.0, 2.0]), torch.zeros(0)]

    def softmax(values):
        total = sum(map(math.exp, values))
        return [math.exp(value) / total for value in values]

    told, said = softmax([2.0, 0.0, 1.0]), softmax(LOGITS[:3])
    kl = sum(p * math.log(p / q) for p, q in zip(told, said, strict=True))
    found = terms(scores=scores, weights=Weights(teacher=0.7, temperature=2.0))
    assert found["teacher"].item() == pytest.approx(0.7 * kl / 2, rel=1e-4)


def test_without_scores_there_is_nothing_to_be_told():
    found = terms()
    found["teacher"].backward()

    assert found["teacher"].item() == 0


def test_a_student_that_agrees_diverges_by_nothing():
    logits = torch.tensor([1.0, -2.0, 0.5])

    assert divergence(logits, logits + 3).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("ranking", LOSSES)
def test_a_step_down_the_slope_lifts_the_right_texts(ranking):
    logits = torch.tensor(LOGITS, requires_grad=True)
    sum(terms(ranking, logits=logits).values()).backward()

    assert logits.grad[0] < 0
    assert logits.grad[4] < 0
    assert logits.grad[[1, 2, 3]].max() > 0


@pytest.mark.parametrize("ranking", LOSSES)
def test_a_list_whose_labels_are_equal_is_no_error(ranking):
    loss = ListLoss(nn.Identity(), ranking, Weights())
    logits = torch.tensor([1.0, 2.0], requires_grad=True)

    found = sum(loss.terms(logits, [2], [torch.zeros(2)], [torch.zeros(0)]).values())
    found.backward()

    assert torch.isfinite(logits.grad).all()


def test_the_table_of_losses_is_that_of_recipes():
    assert set(RANKING) == set(LOSSES)
    with pytest.raises(UnknownName, match="unknown loss 'hinge'; choose from lambda, listnet"):
        ListLoss(nn.Identity(), "hinge", Weights())


def test_given_logits_come_back_in_order():
    given = Given()
    given.logits = torch.tensor([1.0, 2.0, 3.0])

    assert given(given.preprocess([("q", "a"), ("q", "b")]))["scores"].tolist() == [1.0, 2.0]


class Sum(nn.Module):
    """A model whose logit is the sum of a row's ids."""

    def forward(self, chunk):
        return {"scores": chunk["input_ids"].sum(1, keepdim=True).float()}


def test_rows_come_back_to_the_places_of_their_texts():
    chunks = [{"input_ids": torch.tensor([[5, 5], [1, 0]])}, {"input_ids": torch.tensor([[7]])}]

    assert logits_of(Sum(), chunks, torch.tensor([2, 0, 1])).tolist() == [7.0, 10.0, 1.0]
