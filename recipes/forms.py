"""One form for every passage, drawn once: whole, cut short, or with a stranger's text beside it.

So that a passage need be read by the lower layers only once, and yet length says nothing of worth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recipes.augment import Vocabulary, among_strangers, vary
from recipes.corpus import Corpus, Ragged

LONGEST = 384
STRANGERS = 0.25  # of passages; another part is cut short by `vary`


def formed(
    corpus: Corpus, idf: NDArray[np.float32], seed: int = 1
) -> tuple[Corpus, NDArray[np.int64]]:
    """The corpus with its passages in their forms, and for each the stranger beside it, or -1.

    A passage is cut around what its first query asks for.
    """
    rng = np.random.default_rng(seed)
    words = Vocabulary(np.asarray(corpus.terms), idf, np.asarray(corpus.ends))
    asked = np.zeros(len(corpus.passages), np.int64)
    asked[np.asarray(corpus.positive)[::-1]] = np.arange(len(corpus.positive))[::-1]
    beside = np.full(len(corpus.passages), -1, np.int64)
    rows = []
    for at in range(len(corpus.passages)):
        passage, query = corpus.passages[at], corpus.queries[int(asked[at])]
        if rng.random() >= STRANGERS:
            rows.append(vary(passage, query, words, LONGEST, rng))
            continue
        other = int(rng.integers(len(corpus.passages)))
        longest = int(rng.integers(96, LONGEST + 1))
        short = vary(passage, query, words, longest * 3 // 4, rng)
        rows.append(among_strangers(short, corpus.passages[other], longest, rng))
        beside[at] = other if len(rows[-1]) > len(short) else -1
    return replace(corpus, passages=Ragged.of([row.tolist() for row in rows])), beside


def right_beside(corpus: Corpus, beside: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keys of `Mined.known`: a query whose passage stands beside another is answered there too."""
    positive, same = np.asarray(corpus.positive), np.asarray(corpus.same).astype(np.int64)
    with_stranger = np.flatnonzero(beside >= 0)
    order = np.argsort(positive, kind="stable")
    first = np.searchsorted(positive[order], beside[with_stranger], side="left")
    last = np.searchsorted(positive[order], beside[with_stranger], side="right")
    keys = [
        same[order[start:end]] * len(corpus.passages) + passage
        for passage, start, end in zip(with_stranger, first, last, strict=True)
    ]
    return np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)
