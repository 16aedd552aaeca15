"""How much a term's presence says, and which terms of a query are worth reading at all.

The formula is Okapi BM25 as SQLite's FTS5 computes it: Robertson and Zaragoza, "The Probabilistic
Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

K1 = 1.2
B = 0.75

# FTS5's floor for terms in more than half of the passages, whose weight would be negative.
MIN_IDF = 1e-6

# A term is frequent where it is in more than this share of the passages and in more than this many
# of them: short posting lists cost nothing to read, so small collections drop no term.
FREQUENT_SHARE = 0.05
FREQUENT_PASSAGES = 1000

# So many of the rarest terms stay, however frequent: a query of frequent words needs an answer too.
RAREST_KEPT = 3

# FTS5's work grows with the square of the terms: 10 000 of them take 18 s over 40 000 passages, the
# 256 rarest 0.1 s. Only whole documents asked as queries have more.
MAX_SEARCHED = 256


def inverse_frequency(passages: int, containing: int) -> float:
    """The weight of a term that `containing` of `passages` passages hold; always above 0."""
    idf = math.log((passages - containing + 0.5) / (containing + 0.5))
    return idf if idf > 0 else MIN_IDF


def saturation(occurrences: int, length: int, mean_length: float) -> float:
    """What a term's occurrences in a passage of `length` terms count, from 0 up to K1 + 1."""
    norm = 1 - B + B * length / mean_length
    return (occurrences * (K1 + 1)) / (occurrences + K1 * norm)


def searched_terms(frequencies: Mapping[str, int], passages: int) -> list[str]:
    """The terms worth searching, in the order of `frequencies` (how many passages hold each).

    Terms that no passage holds are dropped, frequent ones but for the rarest few, and what is more
    than `MAX_SEARCHED`, the rarest staying.
    """
    known = [term for term, containing in frequencies.items() if containing > 0]
    rarest_first = sorted(known, key=frequencies.__getitem__)[:MAX_SEARCHED]
    limit = max(FREQUENT_PASSAGES, FREQUENT_SHARE * passages)
    kept = {
        term
        for place, term in enumerate(rarest_first)
        if place < RAREST_KEPT or frequencies[term] <= limit
    }
    return [term for term in known if term in kept]
