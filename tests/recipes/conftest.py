from __future__ import annotations

import numpy as np
import pytest
from recipes.corpus import Corpus, Ragged
from recipes.mined import Mined, known_keys

WORDS, SENTENCE_END = 200, 7


def random_rows(rng: np.random.Generator, count: int, least: int, most: int) -> Ragged:
    """Rows of words; about each tenth token ends a sentence."""
    rows = [rng.integers(10, WORDS, rng.integers(least, most)) for _ in range(count)]
    return Ragged.of([np.where(rng.random(len(r)) < 0.1, SENTENCE_END, r).tolist() for r in rows])


@pytest.fixture
def corpus() -> Corpus:
    """60 queries over 40 passages of two sources; a query is made of its passage's tokens."""
    rng = np.random.default_rng(3)
    passages = random_rows(rng, 40, 30, 120)
    positive = rng.integers(0, 40, 60).astype(np.int32)
    queries = Ragged.of([rng.choice(passages[int(at)], 5).tolist() for at in positive])
    source = (positive % 2).astype(np.uint8)
    return Corpus(
        passages=passages,
        passage_source=(np.arange(40) % 2).astype(np.uint8),
        passage_language=np.zeros(40, np.uint8),
        queries=queries,
        noised=Ragged.of([[9, 9] if at % 3 == 0 else [] for at in range(60)]),
        positive=positive,
        source=source,
        language=np.zeros(60, np.uint8),
        kind=source.copy(),
        held_out=np.arange(60) % 5 == 0,
        same=np.arange(60, dtype=np.int32),
        terms=np.where(np.arange(WORDS) < 10, 0, np.arange(WORDS)).astype(np.uint16),
        ends=np.arange(WORDS) == SENTENCE_END,
        prefixes={"query": [11, 12], "passage": [13, 12]},
        sources=["asked", "told"],
    )


@pytest.fixture
def mined(corpus: Corpus) -> Mined:
    """Random candidates, none of them right."""
    rng = np.random.default_rng(4)
    rows = [rng.permutation(np.setdiff1d(np.arange(40), [right]))[:8] for right in corpus.positive]
    candidates = np.array(rows, np.int32)
    candidates[::7, 5:] = -1
    return Mined(
        candidates=candidates,
        teacher=-np.sort(rng.random((60, 8))).astype(np.float16),
        right=np.ones(60, np.float32),
        usable=np.arange(60) % 11 != 1,
        idf=np.ones(WORDS, np.float32),
        known=known_keys(corpus.same, corpus.positive, 40),
        passages=np.array([40]),
    )
