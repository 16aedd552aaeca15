from __future__ import annotations

import pytest

from secondpass.errors import InvalidInput
from secondpass.retrieval import Index, LexicalRetriever
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.types import IndexedDocument, Passage

TEXTS = ["a red fox", "the red red door", "red wine, and near it a fox", "blue sky", "猫和狗"]


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path / "index.db") as index:
        index.add(
            Passage(f"{i}", text, f"d{i}", metadata={"even": i % 2 == 0})
            for i, text in enumerate(TEXTS)
        )
        yield index


def test_candidates_have_passage_score_and_rank(index):
    best, second = index.retriever().retrieve("blue fox", 2)
    assert (best.passage, best.rank) == (
        Passage("3", "blue sky", "d3", metadata={"even": False}),
        1,
    )
    assert (second.passage.id, second.rank) == ("0", 2)
    assert best.score > second.score > 0


def test_a_filter_narrows_the_collection(index):
    found = index.retriever({"even": True}).retrieve("red sky", 10)
    assert {candidate.passage.id for candidate in found} == {"0", "2"}


def test_a_senseless_filter_is_refused_at_once(index):
    with pytest.raises(InvalidInput, match="filter on 'even'"):
        index.retriever({"even": None})


def test_unknown_words_find_nothing(index):
    assert index.retriever().retrieve("xyzzy 😀 ?!", 10) == []


@pytest.mark.parametrize(
    "query",
    [
        'red"',
        '"red',
        "red*",
        "-red",
        "NEAR(red fox)",
        "red AND",
        "OR",
        "NOT red",
        "^red",
        "(red",
        "{red}: x",
        "terms : red",
        "red + fox",
        "' OR 1=1 --",
        "red\0fox",
        "red\\",
        "re'd",
    ],
)
def test_query_syntax_is_plain_text(index, query):
    found = index.retriever().retrieve(query, 10)
    words = {"red": {"0", "1", "2"}, "fox": {"0", "2"}, "near": {"2"}, "and": {"2"}, "re": set()}
    asked = query.lower().replace("\0", " ").replace("'", " ")
    expected = set().union(*(ids for word, ids in words.items() if word in asked))
    if "re d" in asked:
        expected = set()
    assert {candidate.passage.id for candidate in found} == expected


def test_a_very_long_query(index):
    found = index.retriever().retrieve("fox " + " ".join(f"word{i}" for i in range(10_000)), 10)
    assert [candidate.passage.id for candidate in found] == ["0", "2"]


@pytest.mark.parametrize("query", ["", " ", "\n\t\u3000"])
def test_a_blank_query_is_refused(index, query):
    with pytest.raises(InvalidInput, match="the query is blank; expected at least one word"):
        index.retriever().retrieve(query, 10)


def test_a_depth_below_one_is_refused(index):
    with pytest.raises(InvalidInput, match="depth=0 is too small; expected at least 1"):
        index.retriever().retrieve("red", 0)


def test_a_huge_depth_is_as_good_as_all(index):
    assert len(index.retriever().retrieve("red", 10**30)) == 3


def test_a_passage_deleted_in_between_is_left_out():
    class Racing(MemoryStore):
        def search_lexical(self, query, depth, where=None):
            found = super().search_lexical(query, depth, where)
            self.delete(["d0"])
            return found

    store = Racing()
    store.add([IndexedDocument(f"d{i}", "", (Passage(f"{i}", "x", f"d{i}"),)) for i in range(3)])
    found = LexicalRetriever(store).retrieve("x", 3)
    assert [(candidate.passage.id, candidate.rank) for candidate in found] == [("1", 1), ("2", 2)]
