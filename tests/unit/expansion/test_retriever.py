"""Several queries, one list: nothing twice, nothing lost, the query that was asked first."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput
from secondpass.expansion import ExpandedRetriever, GivenQueries
from secondpass.expansion.retriever import union
from secondpass.pipeline import Pipeline
from secondpass.retrieval import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.testing import RETRIEVER_CHECKS
from secondpass.types import Candidate, Expansion, Passage, Ranked

TEXTS = ["a red fox", "a red fox", "the blue sea", "a red sea", "green grass", "the blue fox"]


@pytest.fixture
def index():
    with Index(MemoryStore()) as index:
        index.add(Passage(f"p{at}", text, f"d{at}") for at, text in enumerate(TEXTS))
        yield index


@pytest.fixture
def lexical(index):
    return index.retriever()


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_retriever(check, lexical):
    check(ExpandedRetriever(lexical, GivenQueries(["blue sea", "grass"])), "red fox")


def test_candidates_of_all_queries_come_once_by_id_and_by_text(lexical):
    retriever = ExpandedRetriever(lexical, GivenQueries(["blue", "green", "red fox"]))

    found = retriever.retrieve_expanded("red fox", 10)

    assert found.expansion == Expansion(("blue", "green"), "given")
    assert sorted(one.passage.text for one in found.candidates) == sorted(set(TEXTS))
    assert found.identical == 1
    for query in ("red fox", "blue", "green"):
        alone = lexical.retrieve(query, 10)
        ranks = {one.passage.text: one.rank for one in reversed(alone)}
        seen = {
            one.passage.text: one.queries[query] for one in found.candidates if query in one.queries
        }
        assert seen == ranks


def test_the_query_asked_counts_as_much_as_all_the_others():
    def found(*ids):
        return [Candidate(Passage(id, id, "d"), 1.0, rank) for rank, id in enumerate(ids, start=1)]

    candidates, _ = union([("asked", found("a")), ("x", found("b")), ("y", found("b", "a"))])

    assert [(one.passage.id, one.rank) for one in candidates] == [("a", 1), ("b", 2)]
    assert candidates[0].score == pytest.approx(2 / 61 + 1 / 62)
    assert candidates[1].score == pytest.approx(2 / 61)
    assert candidates[0].queries == {"asked": 1, "y": 2}


LISTS = st.lists(st.lists(st.integers(0, 11), unique=True, max_size=8), min_size=1, max_size=4)


@given(lists=LISTS)
def test_the_union_is_what_a_plain_loop_finds(lists):
    """Passages 2n and 2n + 1 have one text; the oracle goes through texts, not candidates."""
    found = [
        (
            f"q{at}",
            [
                Candidate(Passage(f"{i}", f"t{i // 2}", "d"), 9.0 - r, r)
                for r, i in enumerate(ids, 1)
            ],
        )
        for at, ids in enumerate(lists)
    ]
    candidates, identical = union(found)

    expected = {}
    for text in {i // 2 for ids in lists for i in ids}:
        places = {}
        for at, ids in enumerate(lists):
            there = [rank for rank, i in enumerate(ids, 1) if i // 2 == text]
            if there:
                places[f"q{at}"] = min(there)
        expected[f"t{text}"] = places
    assert {one.passage.text: dict(one.queries) for one in candidates} == expected
    assert identical == len({i for ids in lists for i in ids}) - len(expected)
    scores = [one.score for one in candidates]
    assert scores == sorted(scores, reverse=True)
    for one in candidates:
        weight = {"q0": max(1, len(lists) - 1)}
        shares = [weight.get(query, 1) / (60 + rank) for query, rank in one.queries.items()]
        assert one.score == pytest.approx(math.fsum(shares))
        best = min(one.queries.values())
        assert any(
            other.passage == one.passage and other.rank == best for _, o in found for other in o
        )


class NotesQuery:
    """A reranker that prefers long texts, and notes which query it judged by."""

    def __init__(self):
        self.queries = []

    def rerank(self, query, texts, top_k=None):
        self.queries.append(query)
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        return [Ranked(at, float(len(texts[at])), 0.5) for at in order][:top_k]


def test_a_pipeline_reranks_the_union_by_the_query_that_was_asked(lexical):
    reranker = NotesQuery()
    pipeline = Pipeline(ExpandedRetriever(lexical, GivenQueries(["blue sea"])), reranker)

    answer = pipeline.explain("red fox")

    assert reranker.queries == ["red fox"]
    assert answer.expansion.queries == ("blue sea",)
    assert (answer.candidates, answer.identical) == (4, 1)
    assert {hit.text for hit in answer.hits} == set(TEXTS) - {"green grass"}
    assert Pipeline(lexical, reranker).explain("red fox").expansion is None


@pytest.mark.parametrize("queries", ["one", [], ["a", " "], [3]])
def test_further_queries_that_cannot_be_asked_are_refused(queries):
    with pytest.raises(InvalidInput):
        GivenQueries(queries)


def test_a_query_that_cannot_be_asked_costs_no_expansion(lexical):
    class Never:
        def expand(self, query):
            raise AssertionError(query)

    with pytest.raises(InvalidInput):
        ExpandedRetriever(lexical, Never()).retrieve(" ", 5)
    with pytest.raises(InvalidInput, match="query_depth=0"):
        ExpandedRetriever(lexical, Never(), query_depth=0)
