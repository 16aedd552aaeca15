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


def check_finite(logits: NDArray[np.float32]) -> None:
    """Raise EngineError where a logit is NaN or infinite: such a score would order silently wrong."""
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        raise EngineError(
            f"the model gave {logits[bad[0]]} for row {bad[0]} ({len(bad)} of {len(logits)} rows); "
            "expected finite logits; the checkpoint's weights are damaged or overflow"
        )
