"""The teacher that every index has: both legs' scores, each in deviations, added.

A leg's score says little by itself: how far it lies above what else the leg knows of this query does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """One leg's scores of a query: their mean, their standard deviation, and the lowest of them."""

    mean: float
    deviation: float
    lowest: float

    @classmethod
    def over(cls, scores: Sequence[float]) -> Scale:
        """The scale of these scores, at least one."""
        # Less the first: the mean of equal numbers may be another number, by rounding.
        rest = [score - scores[0] for score in scores]
        mean = math.fsum(rest) / len(rest)
        deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in rest) / len(rest))
        return cls(scores[0] + mean, deviation, min(scores))

    def deviations(self, score: float) -> float:
        """How many deviations the score lies above the mean; 0 where all scores are equal."""
        return (score - self.mean) / self.deviation if self.deviation > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """What scores passages for one query: BM25 by passage id, and the scale of each leg.

    A passage that the lexical leg did not find counts as the lowest that it found. A scale is None
    where the leg found nothing or is not there.
    """

    words: Mapping[str, float]
    lexical: Scale | None
    dense: Scale | None

    @classmethod
    def of(
        cls, ids: Sequence[str], words: Mapping[str, float], cosines: Mapping[str, float]
    ) -> Mixture:
        """From what the lexical leg found, and the cosines of all that either leg found, if any.

        `ids` are all that either leg found.
        """
        lowest = min(words.values(), default=0.0)
        return cls(
            words,
            Scale.over([words.get(id, lowest) for id in ids]) if words else None,
            Scale.over([cosines[id] for id in ids]) if ids and cosines else None,
        )

    @property
    def knows(self) -> bool:
        """Whether any leg found anything: without, no score means anything."""
        return self.lexical is not None or self.dense is not None

    def score(self, id: str, cosine: float | None) -> float:
        """The sum of both legs' deviations for a passage of the index."""
        parts = [0.0]
        if self.lexical is not None:
            parts.append(self.lexical.deviations(self.words.get(id, self.lexical.lowest)))
        if self.dense is not None and cosine is not None:
            parts.append(self.dense.deviations(cosine))
        return math.fsum(parts)

    def score_unknown(self, cosine: float | None) -> float | None:
        """The same for a text that is not in the index: as if its words said what its vector says.

        None without a vector.
        """
        if self.dense is None or cosine is None:
            return None
        legs = 1 + (self.lexical is not None)
        return legs * self.dense.deviations(cosine)
