"""How much is there to compute? Operations of a forward pass, and the time that a peak allows.

A multiplication and its addition count as two. Counted is what a cross-encoder needs: no padding,
and in the last layer nothing but keys, values and the first token's row. Softmax, LayerNorm and
the activations are left out, so that the bound is a little below what any engine can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.engine.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations of a call: in the encoder's linear layers, in attention, and in the head."""

    linear: int
    attention: int
    head: int

    def bound_ms(self, *, int8_gops: float, fp32_gflops: float, precision: str) -> float:
        """Milliseconds at these rates, in 10^9 operations a second; int8 for linear layers only."""
        linear = int8_gops if precision == "int8" else fp32_gflops
        return (self.linear / linear + (self.attention + self.head) / fp32_gflops) / 1e6


def count_operations(spec: ModelSpec, lengths: Sequence[int]) -> Operations:
    """The operations of one forward pass over rows of these lengths in tokens."""
    tokens, rows, pairs = sum(lengths), len(lengths), sum(n * n for n in lengths)
    square, feed_forward = spec.hidden**2, 2 * spec.hidden * spec.intermediate
    whole = spec.layers - 1
    linear = whole * tokens * (4 * square + feed_forward)
    linear += tokens * 2 * square + rows * (2 * square + feed_forward)
    attention = (whole * pairs + tokens) * 2 * spec.hidden
    return Operations(2 * linear, 2 * attention, 2 * rows * (square + spec.hidden))
