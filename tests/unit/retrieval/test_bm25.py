from __future__ import annotations

import math

import bm25s
import numpy as np
import pytest

from secondpass.retrieval.bm25 import (
    FREQUENT_PASSAGES,
    K1,
    MAX_SEARCHED,
    MIN_IDF,
    B,
    inverse_frequency,
    saturation,
    searched_terms,
)
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import IndexedDocument, Passage

SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "a fox and a dog are friends",
    "nothing to see here",
    "the dog sleeps, the dog eats, the dog barks at dogs",
    "brown bread and brown sugar",
    "quick thinking saves the day",
    "lazy afternoons in the sun with a book and a cup of tea",
]


def test_inverse_frequency_falls_and_stays_positive():
    weights = [inverse_frequency(100, containing) for containing in range(1, 101)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == pytest.approx(math.log(99.5 / 1.5))
    assert weights[-1] == MIN_IDF


def test_saturation_rises_with_occurrences_and_falls_with_length():
    assert saturation(1, 10, 10.0) == pytest.approx(1.0)
    assert saturation(1, 10, 10.0) < saturation(2, 10, 10.0) < K1 + 1
    assert saturation(1, 20, 10.0) < saturation(1, 10, 10.0)


@pytest.mark.parametrize("query", ["quick fox", "brown dog barks", "lazy tea cup", "friends"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_scores_are_those_of_bm25s(kind, query, tmp_path):
    store = MemoryStore() if kind == "memory" else SqliteStore.open(tmp_path / "index.db")
    passages = [Passage(f"{i}", text, f"d{i}") for i, text in enumerate(SENTENCES)]
    store.add([IndexedDocument(passage.document, "", (passage,)) for passage in passages])
    other = bm25s.BM25(k1=K1, b=B, method="robertson")
    other.index([text.replace(",", "").split() for text in SENTENCES], show_progress=False)

    ours = np.zeros(len(SENTENCES))
    for passage, score in store.search_lexical(query, 10):
        ours[int(passage)] = score
    store.close()

    # bm25s leaves out the constant factor K1 + 1, which changes no order.
    theirs = np.asarray(other.get_scores(query.split())) * (K1 + 1)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert (ours > 0).any()


def test_frequent_terms_are_dropped_but_for_the_rarest():
    frequencies = {"the": 90_000, "of": 80_000, "a": 70_000, "in": 60_000, "fox": 3, "unknown": 0}
    assert searched_terms(frequencies, 100_000) == ["a", "in", "fox"]
    del frequencies["fox"]
    assert searched_terms(frequencies, 100_000) == ["of", "a", "in"]


def test_small_collections_drop_no_term():
    frequencies = {word: FREQUENT_PASSAGES for word in "abcdef"}
    assert searched_terms(frequencies, FREQUENT_PASSAGES) == list("abcdef")


def test_of_very_many_terms_the_rarest_stay():
    frequencies = {f"word{i}": 1 + i % 7 for i in range(10 * MAX_SEARCHED)}
    searched = searched_terms(frequencies, 1000)
    assert len(searched) == MAX_SEARCHED
    assert {frequencies[term] for term in searched} == {1}
