"""What does a logit mean, and who comes first? Probability and total order, in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import EngineError


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) in float64, without overflow at either end."""
    x = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def descending(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """The positions of the scores, best first; equal ones keep their order."""
    return np.argsort(-np.asarray(scores), kind="stable")


def check_finite(results: NDArray[np.float32]) -> None:
    """Raise EngineError where a row's logit or vector is not finite: it would order silently wrong.

    `results` is float32[rows], or float32[rows, hidden].
    """
    wrong = ~np.isfinite(results)
    bad = np.flatnonzero(wrong.any(axis=1) if wrong.ndim == 2 else wrong)
    if len(bad):
        first = results[bad[0]][wrong[bad[0]]].ravel()[0]
        raise EngineError(
            f"the model gave {first} for row {bad[0]} ({len(bad)} of {len(results)} rows); "
            "expected finite numbers; the checkpoint's weights are damaged or overflow"
        )
