"""How do the lists of several legs become one list? By ranks, or by scores made comparable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from secondpass.errors import InvalidInput, UnknownName
from secondpass.types import Candidate, LegRank


@dataclass(frozen=True, slots=True)
class Fusion:
    """A candidate's score is the sum over the legs of weight times share.

    The share of rank r is 1 / (k + r) for 'rrf', after Cormack, Clarke and Büttcher, "Reciprocal
    Rank Fusion" (2009), and that of a score its place between the leg's lowest, 0, and highest, 1,
    for 'min-max'; both are 0 for what a leg did not find. For 'z-score' it is how many standard
    deviations the score lies above the leg's mean, and the lowest of those for what a leg did not
    find. A leg without a weight has 1.
    """

    method: str = "rrf"
    k: float = 60
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("fusion", self.method, METHODS)
        if not (math.isfinite(self.k) and self.k >= 0):
            raise InvalidInput(f"k={self.k} is no rank; expected 0 or more, such as 60")
        for leg, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise InvalidInput(
                    f"weight {weight} of leg '{leg}' is none; expected 0 or more, such as 0.5"
                )

    def check_legs(self, legs: Sequence[str]) -> None:
        """Raise UnknownName where a weight is for a leg that is not there."""
        for leg in self.weights:
            if leg not in legs:
                raise UnknownName("leg with a weight", leg, legs)


@dataclass(frozen=True, slots=True)
class _Shares:
    """What each candidate of a leg counts, in their order, and what any other passage does."""

    found: list[float]
    other: float = 0.0


def fuse(legs: Mapping[str, Sequence[Candidate]], fusion: Fusion) -> list[Candidate]:
    """Every candidate of the legs once, best first, with its rank and score in each leg.

    Candidates of one passage id are one. Ties go to the better rank in any leg, then to the leg
    that is named first.
    """
    fusion.check_legs(list(legs))
    shares = {leg: METHODS[fusion.method](found, fusion) for leg, found in legs.items()}
    met = sorted(
        ((leg, at) for leg, found in legs.items() for at in range(len(found))),
        key=lambda one: legs[one[0]][one[1]].rank,
    )
    places: dict[str, dict[str, int]] = {}
    for leg, at in met:
        places.setdefault(legs[leg][at].passage.id, {}).setdefault(leg, at)
    scores = {
        id: math.fsum(
            fusion.weights.get(leg, 1.0)
            * (share.found[there[leg]] if leg in there else share.other)
            for leg, share in shares.items()
        )
        for id, there in places.items()
    }
    order = sorted(scores, key=lambda id: -scores[id])
    return [
        _candidate(places[id], legs, scores[id], rank) for rank, id in enumerate(order, start=1)
    ]


def _candidate(
    there: Mapping[str, int], legs: Mapping[str, Sequence[Candidate]], score: float, rank: int
) -> Candidate:
    found = {leg: legs[leg][there[leg]] for leg in legs if leg in there}
    passage = next(iter(found.values())).passage
    ranks = {leg: LegRank(one.rank, one.score) for leg, one in found.items()}
    return Candidate(passage, score, rank, ranks)


def _reciprocal(found: Sequence[Candidate], fusion: Fusion) -> _Shares:
    return _Shares([1 / (fusion.k + candidate.rank) for candidate in found])


def _min_max(found: Sequence[Candidate], fusion: Fusion) -> _Shares:
    scores = [candidate.score for candidate in found]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return _Shares([(score - low) / (high - low) if high > low else 1.0 for score in scores])


def _z_score(found: Sequence[Candidate], fusion: Fusion) -> _Shares:
    scores = [candidate.score for candidate in found]
    if not scores:
        return _Shares([])
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    shares = [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]
    return _Shares(shares, min(shares))


METHODS: Mapping[str, Callable[[Sequence[Candidate], Fusion], _Shares]] = {
    "rrf": _reciprocal,
    "min-max": _min_max,
    "z-score": _z_score,
}
