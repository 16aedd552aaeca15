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


def count_operations(spec: ModelSpec, lengths: Sequence[int], query_tokens: int = 0) -> Operations:
    """The operations of one forward pass over rows of these lengths in tokens.

    Of each row the first `query_tokens` are the query's side, the same one in all rows, which a
    late-join model reads once in the layers where it stands apart; other models do not care.
    """
    rows, hidden = len(lengths), spec.hidden
    layer = 4 * hidden**2 + 2 * hidden * spec.intermediate
    # Layers of all tokens, then the last one: keys and values, and the rest for the first token.
    joined = spec.layers - 1 - spec.join_layer
    tokens, pairs = sum(lengths), sum(n * n for n in lengths)
    linear = joined * tokens * layer + tokens * 2 * hidden**2 + rows * (layer - 2 * hidden**2)
    attention = (joined * pairs + tokens) * 2 * hidden
    head = rows * (hidden**2 + hidden)
    if spec.join_layer:
        sides = [query_tokens, *(n - query_tokens for n in lengths)]
        linear += spec.layers * sum(sides) * layer
        attention += spec.layers * sum(n * n for n in sides) * 2 * hidden
        head += rows * hidden
    return Operations(2 * linear, 2 * attention, 2 * head)
