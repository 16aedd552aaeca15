"""Deduplicated: passages that say nearly the same are scored once, the first of them for all.

texts -> shingles -> MinHash proposes pairs -> exact overlap decides -> reranker, one of each -> lines
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from secondpass.errors import InvalidInput, MissingExtra
from secondpass.protocols import Blending, BudgetedReranker, Reranker, takes_budget
from secondpass.types import Ranked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 3  # words, or characters of scripts that write no blanks
PERMUTATIONS = 128
# The estimate of an overlap deviates by at most sqrt(1/4 / 128) = 0.044 on average; four times that
# is looked at exactly.
MARGIN = 0.18
WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f]"
    "|[^\\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f]+"
)

Shingles = frozenset[tuple[str, ...]]


class Deduplicated:
    """A reranker that gives near-duplicates one score: that of the first of them in the given order.

    Texts are near-duplicates where the sets of their runs of three words (three characters in
    Chinese and its like) overlap by at least `threshold` of their union, after Broder, "On the
    resemblance and containment of documents" (1997). Each is held against the first of a group, so
    that a chain of small changes does not join what is far apart. `same_as` of a line points at that
    first text. Needs the extra 'duplicates'.
    """

    def __init__(self, reranker: Reranker, threshold: float = 0.9) -> None:
        if not 0 < threshold <= 1:
            raise InvalidInput(
                f"near-duplicates at {threshold}; expected a share above 0 and up to 1, such as 0.9"
            )
        _minhash()  # a library that is missing is an error here, not at the first query
        self.reranker = reranker
        self.threshold = threshold

    @property
    def first_stage_weight(self) -> float:
        """What the reranker states of itself."""
        return self.reranker.first_stage_weight if isinstance(self.reranker, Blending) else 0.0

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        top_k: int | None = None,
        *,
        budget_ms: float | None = None,
    ) -> list[Ranked]:
        """As the reranker's; `budget_ms` is InvalidInput where that one cannot stop in time."""
        if top_k is not None and top_k < 1:
            raise InvalidInput(f"top_k={top_k}; expected a whole number from 1, or None for all")
        first = first_of_each(texts, self.threshold)
        kept = sorted(set(first))
        found = self._rerank(query, [texts[at] for at in kept], budget_ms)
        by_index = {kept[line.index]: line for line in found}
        lines = [
            replace(by_index[same], index=at, window=None, same_as=same)
            if same != at
            else replace(by_index[at], index=at)
            for at, same in enumerate(first)
        ]
        lines.sort(key=lambda line: (not line.scored, -line.score, line.index))
        return lines[:top_k]

    def _rerank(self, query: str, texts: Sequence[str], budget_ms: float | None) -> list[Ranked]:
        if budget_ms is None:
            return self.reranker.rerank(query, texts)
        if not takes_budget(self.reranker):
            raise InvalidInput(
                f"budget_ms={budget_ms} needs a reranker that can stop in time; a "
                f"{type(self.reranker).__name__} cannot: leave budget_ms out"
            )
        return cast(BudgetedReranker, self.reranker).rerank(query, texts, budget_ms=budget_ms)


def first_of_each(texts: Sequence[str], threshold: float) -> list[int]:
    """For each text the index of the earliest that it nearly repeats, its own where it is new.

    Equal texts repeat each other whatever they hold.
    """
    sets = [shingles(text) for text in texts]
    # Those without a word have nothing to compare but themselves.
    close = _estimates(sets) >= threshold - MARGIN
    equal: dict[str, int] = {}
    first: list[int] = []
    for at, text in enumerate(texts):
        same = equal.setdefault(text, at)
        if same == at:
            near = (
                other
                for other in close[at, :at].nonzero()[0].tolist()
                if first[other] == other and overlap(sets[at], sets[other]) >= threshold
            )
            same = next(near, at)
        else:
            same = first[same]
        first.append(same)
    return first


def shingles(text: str) -> Shingles:
    """Every run of three words, or of three characters of a script without blanks; shorter, the lot."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(words) <= SHINGLE:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def overlap(one: Shingles, other: Shingles) -> float:
    """The share of the union that both have, 0..1; 0 where one is empty."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def _estimates(sets: Sequence[Shingles]) -> NDArray[np.float64]:
    """float64[sets, sets]: about how much each pair overlaps; 0 for those that are empty."""
    import numpy as np

    digests = np.zeros((len(sets), PERMUTATIONS), dtype=np.uint64)
    for row, shingle_set in zip(digests, sets, strict=True):
        sketch = _minhash()(num_perm=PERMUTATIONS, seed=1)
        sketch.update([" ".join(shingle) for shingle in shingle_set])
        row[:] = sketch.digest()
    estimates = np.zeros((len(sets), len(sets)))
    filled = [at for at, shingle_set in enumerate(sets) if shingle_set]
    for at in filled:
        estimates[at, filled] = (digests[filled] == digests[at]).mean(axis=1)
    return estimates


def _minhash() -> type:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise MissingExtra("finding near-duplicates", "duplicates") from error
    return cast(type, RMinHash)
