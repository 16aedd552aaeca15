"""How else could this passage have come? Crops, joins with strangers, and queries cut out of it.

Functions over token ids; the random generator is the only source of chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.corpus import Ids

CROP = (48, 160)  # tokens of a passage that was cut short
SENTENCE_SHARE = 0.12  # of short crops: the best sentence alone
QUERY_MOST = 64
CLOZE_LEAST, REST_LEAST = 6, 20  # tokens of a query from a passage, and of what must remain


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """What is known of a token: the word it stands for, that word's weight, if it ends a sentence."""

    terms: NDArray[np.uint16]
    idf: NDArray[np.float32]
    ends: NDArray[np.bool_]


def sentences(passage: Ids, ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64[n + 1]: the bounds of the passage's sentences, 0 and its length among them."""
    cuts = np.flatnonzero(ends[passage]) + 1
    bounds = np.concatenate([[0], cuts, [len(passage)]])
    return np.unique(bounds)


def best_sentence(passage: Ids, query: Ids, words: Vocabulary) -> tuple[int, int]:
    """The bounds of the sentence that shares most with the query, the first of equals.

    Shared words count by their rarity.
    """
    bounds = sentences(passage, words.ends)
    terms = words.terms[passage]
    shared = np.isin(terms, words.terms[query]) * words.idf[terms]
    at = int(np.add.reduceat(shared, bounds[:-1]).argmax()) if len(passage) else 0
    return int(bounds[at]), int(bounds[min(at + 1, len(bounds) - 1)])


def crop(passage: Ids, keep: tuple[int, int], length: int, rng: np.random.Generator) -> Ids:
    """`length` tokens in a row that hold `keep`, at a random place; the start of a longer `keep`."""
    start, end = keep
    if len(passage) <= length:
        return passage
    if end - start >= length:
        return passage[start : start + length]
    lowest, highest = max(0, end - length), min(start, len(passage) - length)
    at = int(rng.integers(lowest, highest + 1))
    return passage[at : at + length]


def vary(
    passage: Ids, query: Ids, words: Vocabulary, longest: int, rng: np.random.Generator
) -> Ids:
    """The passage cut short or whole, at most `longest` tokens, its best sentence kept."""
    keep = best_sentence(passage, query, words)
    if rng.random() < 0.45:
        if rng.random() < SENTENCE_SHARE and keep[1] - keep[0] >= CLOZE_LEAST:
            return crop(passage[keep[0] : keep[1]], (0, 1), longest, rng)
        short = int(rng.integers(CROP[0], CROP[1] + 1))
        return crop(passage, keep, min(short, longest), rng)
    return crop(passage, keep, longest, rng)


def among_strangers(passage: Ids, stranger: Ids, longest: int, rng: np.random.Generator) -> Ids:
    """The passage with some of another's text before or behind it, all of the passage kept."""
    room = min(longest - len(passage), len(stranger))
    if room < CLOZE_LEAST:
        return passage
    extra = int(rng.integers(CLOZE_LEAST, room + 1))
    if rng.random() < 0.5:
        return np.concatenate([stranger[-extra:], passage])
    return np.concatenate([passage, stranger[:extra]])


def query_from(
    passage: Ids, ends: NDArray[np.bool_], rng: np.random.Generator, *, first: bool
) -> tuple[Ids, Ids] | None:
    """A sentence of the passage as a query, and the passage without it; None where it is too short.

    The first sentence, or a random one; nine times of ten it is taken out of the passage.
    """
    bounds = sentences(passage, ends)
    at = 0 if first else int(rng.integers(len(bounds) - 1))
    start, end = int(bounds[at]), int(bounds[at + 1])
    if end - start < CLOZE_LEAST or len(passage) - (end - start) < REST_LEAST:
        return None
    kept = rng.random() < 0.1
    rest = passage if kept else np.concatenate([passage[:start], passage[end:]])
    return passage[start:end][:QUERY_MOST], rest
