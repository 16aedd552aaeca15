from __future__ import annotations

import threading
from typing import ClassVar

import pytest

from letters import Letters
from secondpass.errors import InvalidInput, StoreError, UnknownName
from secondpass.retrieval import DenseRetriever, Fusion, HybridRetriever, Index, LexicalRetriever
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.types import Candidate, LegRank, Passage

PASSAGES = [
    Passage("a#0", "a red fox", "a", metadata={"lang": "en"}),
    Passage("b#0", "foxes", "b", metadata={"lang": "en"}),
    Passage("c#0", "zzz red", "c", metadata={"lang": "de"}),
    Passage("d#0", "qqqq", "d", metadata={"lang": "de"}),
]


@pytest.fixture
def index():
    with Index(MemoryStore(), Letters()) as index:
        index.add(PASSAGES)
        yield index


def ids(found):
    return [candidate.passage.id for candidate in found]


def test_each_first_stage_finds_its_own(index):
    assert ids(index.retriever(first_stage="lexical").retrieve("red fox", 9)) == ["a#0", "c#0"]
    dense = index.retriever(first_stage="dense").retrieve("red fox", 9)
    assert ids(dense)[:2] == ["a#0", "b#0"]
    assert len(dense) == 4
    found = index.retriever().retrieve("red fox", 9)
    assert sorted(ids(found)) == ["a#0", "b#0", "c#0", "d#0"]
    assert found[0].legs == {
        "lexical": LegRank(1, found[0].legs["lexical"].score),
        "dense": LegRank(1, dense[0].score),
    }
    assert found[0].score == pytest.approx(2 / 61)
    assert next(one for one in found if one.passage.id == "b#0").legs.keys() == {"dense"}


def test_hybrid_is_the_default_once_there_is_an_encoder(index):
    assert isinstance(index.retriever(), HybridRetriever)
    assert isinstance(index.retriever(first_stage="dense"), DenseRetriever)
    plain = Index(MemoryStore())
    assert isinstance(plain.retriever(), LexicalRetriever)
    for name in ("dense", "hybrid"):
        with pytest.raises(StoreError, match="the index has no vectors; expected one made with"):
            plain.retriever(first_stage=name)
    with pytest.raises(UnknownName, match="unknown first stage 'bm25'; choose from dense, hybrid"):
        plain.retriever(first_stage="bm25")


@pytest.mark.parametrize("first_stage", ["lexical", "dense", "hybrid"])
def test_filters_reach_every_leg(first_stage, index):
    found = index.retriever({"lang": "de"}, first_stage=first_stage).retrieve("red fox", 9)
    assert {one.passage.metadata["lang"] for one in found} == {"de"}
    with pytest.raises(InvalidInput, match="filter"):
        index.retriever({"lang": None}, first_stage=first_stage)


def test_weights_choose_between_the_legs(index):
    words = index.retriever(fusion=Fusion(weights={"dense": 0})).retrieve("red", 9)
    assert ids(words)[:2] == ids(index.retriever(first_stage="lexical").retrieve("red", 9))
    with pytest.raises(UnknownName, match="unknown leg with a weight 'sparse'"):
        index.retriever(fusion=Fusion(weights={"sparse": 1}))


def test_the_legs_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)

    class Leg:
        def retrieve(self, query, depth):
            meeting.wait()  # passes only where all three are here at once
            return [Candidate(PASSAGES[0], 1.0, 1)]

    legs = {"one": Leg(), "two": Leg(), "three": Leg()}
    (found,) = HybridRetriever(legs, Fusion()).retrieve("red", 5)
    assert list(found.legs) == ["one", "two", "three"]


def test_legs_that_compute_here_run_one_after_another(tmp_path):
    at_work = threading.Lock()

    class Leg:
        def retrieve(self, query, depth):
            assert at_work.acquire(blocking=False)
            at_work.release()
            return [Candidate(PASSAGES[0], 1.0, 1)]

    legs = {"one": Leg(), "two": Leg()}
    (found,) = HybridRetriever(legs, Fusion(), concurrent=False).retrieve("red", 5)
    assert {leg: rank.rank for leg, rank in found.legs.items()} == {"one": 1, "two": 1}
    for store, here in (("sqlite", False), ("chroma", True)):
        pytest.importorskip("chromadb", reason="the extra 'chroma' is not installed")
        with Index.open(tmp_path / store, store=store, encoder=Letters()) as index:
            assert index.retriever()._concurrent is here


@pytest.mark.parametrize("failing", ["one", "two"])
def test_the_error_of_a_leg_is_the_error(failing):
    class Leg:
        def __init__(self, fails):
            self.fails = fails

        def retrieve(self, query, depth):
            if self.fails:
                raise StoreError("the leg is broken")
            return []

    legs = {name: Leg(name == failing) for name in ("one", "two")}
    with pytest.raises(StoreError, match="the leg is broken"):
        HybridRetriever(legs, Fusion()).retrieve("red", 5)


def test_a_leg_is_asked_for_more_than_is_wanted():
    class Leg:
        asked: ClassVar[list[int]] = []

        def retrieve(self, query, depth):
            self.asked.append(depth)
            return [Candidate(one, 1.0, rank) for rank, one in enumerate(PASSAGES, start=1)]

    hybrid = HybridRetriever({"one": Leg()}, Fusion(), leg_depth=50)
    assert len(hybrid.retrieve("red", 2)) == 2
    hybrid.retrieve("red", 60)
    assert Leg.asked == [50, 60]
    for legs, depth in (({}, 5), ({"one": Leg()}, 0)):
        with pytest.raises(InvalidInput, match="expected at least 1 of each"):
            HybridRetriever(legs, Fusion(), leg_depth=depth)
