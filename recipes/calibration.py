"""Is a probability of 0.8 right four times of five? A line through the logits makes it so.

Platt (1999): sigmoid(a * logit + b), a and b by maximum likelihood. Both go into the head, whose
last layer is linear, so the model's files need nothing new and no order changes (a > 0). The same
as secondpass.training.measures, which a GPU machine without an install of ours could not import.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.bert import Ranker


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of a logit."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def fit_line(
    logits: NDArray[np.floating], right: NDArray[np.bool_], steps: int = 50
) -> tuple[float, float]:
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
    return max(float(line[0]), 1e-3), float(line[1])


def calibration_error(
    logits: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15
) -> float:
    """ECE in equal widths: |mean probability - share of right ones|, weighed by size."""
    chance = sigmoid(logits.astype(np.float64))
    at = np.minimum((chance * bins).astype(int), bins - 1)
    size = np.bincount(at, minlength=bins)
    said = np.bincount(at, chance, minlength=bins)
    true = np.bincount(at, right.astype(np.float64), minlength=bins)
    return float(np.abs(said - true)[size > 0].sum() / len(logits))


@torch.no_grad()
def fold_line(model: Ranker, a: float, b: float) -> None:
    """Make a * logit + b the model's logit."""
    model.logit.weight.mul_(a)
    model.logit.bias.mul_(a).add_(b)
    if model.shape.join:
        model.cosine.mul_(a)
