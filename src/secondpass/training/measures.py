"""How good is an order, and how true a probability? nDCG, the line through logits, and its error.

The line is Platt's (1999): sigmoid(a * logit + b), a and b by maximum likelihood. A cross-encoder's
last layer is linear, so the line becomes part of it, and no order changes (a > 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.scoring import sigmoid
from secondpass.training.lists import TrainingList

DEPTH = 10
BINS = 15
RIGHT = 0.5  # the label from which a text counts as right where there is no grade between
LEAST_SLOPE = 1e-3

Numbers = NDArray[np.floating]


def ndcg(scores: Numbers, labels: Numbers, depth: int = DEPTH) -> float:
    """NDCG of ordering texts by `scores`: gain is the label, discount log2(1 + rank).

    Equal scores count in the worst order: lists have their right texts first, so that a model that
    says nothing would else be perfect. 0 where nothing is right.
    """
    worst_first = np.lexsort((labels, -scores))[:depth]
    best = np.sort(labels)[::-1][:depth]
    discount = 1 / np.log2(np.arange(2, 2 + len(best)))
    ideal = float(best @ discount)
    return float(labels[worst_first] @ discount) / ideal if ideal > 0 else 0.0


def order_quality(scores: Sequence[Numbers], lists: Sequence[TrainingList]) -> float:
    """The mean nDCG@10 of ordering each list by its scores."""
    return float(qualities(scores, lists).mean())


def qualities(scores: Sequence[Numbers], lists: Sequence[TrainingList]) -> NDArray[np.float64]:
    """The nDCG@10 of each list, ordered by its scores."""
    labels = (np.array(one.labels, dtype=np.float64) for one in lists)
    return np.array([ndcg(*one) for one in zip(scores, labels, strict=True)])


def fit_line(logits: Numbers, right: NDArray[np.bool_], steps: int = 50) -> tuple[float, float]:
    """(a, b) by Newton's method, with a little weight on a = 1, b = 0; a stays above 0."""
    x = np.stack([logits.astype(np.float64), np.ones(len(logits))], axis=1)
    target, prior = right.astype(np.float64), np.array([1.0, 0.0])
    line = prior.copy()
    for _ in range(steps):
        chance = sigmoid(x @ line)
        slope = x.T @ (chance - target) + 1e-3 * (line - prior)
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + 1e-3 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        line = line - step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return max(float(line[0]), LEAST_SLOPE), float(line[1])


def calibration_error(logits: Numbers, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """ECE in equal widths: |mean probability - share of right ones|, weighed by size."""
    chance = sigmoid(logits.astype(np.float64))
    at = np.minimum((chance * bins).astype(int), bins - 1)
    size = np.bincount(at, minlength=bins)
    said = np.bincount(at, chance, minlength=bins)
    true = np.bincount(at, right.astype(np.float64), minlength=bins)
    return float(np.abs(said - true)[size > 0].sum() / len(logits))
