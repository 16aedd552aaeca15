"""Every retriever of the first stage passes the suite that ships in `secondpass.testing`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from letters import Letters
from secondpass.protocols import Retriever
from secondpass.retrieval import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.testing import RETRIEVER_CHECKS, check_retriever
from secondpass.types import Passage

TEXTS = ["a red fox", "the red red door", "red wine and a fox", "blue sky", "a fox, a fox, a fox"]


@pytest.fixture(params=["lexical", "dense", "hybrid"])
def first_stage(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["sqlite", "sqlite with a filter", "memory"])
def retriever(
    request: pytest.FixtureRequest, tmp_path: Path, first_stage: str
) -> Iterator[Retriever]:
    where = {"kept": True} if "filter" in request.param else None
    store = MemoryStore() if request.param == "memory" else SqliteStore.open(tmp_path / "i")
    with Index(store, Letters()) as index:
        index.add(
            Passage(f"{i}", text, f"d{i}", metadata={"kept": True}) for i, text in enumerate(TEXTS)
        )
        index.add([Passage("x", "a red fox, hidden", "d", metadata={"kept": False})])
        yield index.retriever(where, first_stage=first_stage)


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
def test_retriever(check, retriever):
    check(retriever, "red fox")


def test_the_whole_suite_finds_a_retriever_that_ignores_depth(retriever):
    class Bottomless:
        def retrieve(self, query, depth):
            return retriever.retrieve(query, 50 if depth > 0 else depth)

    check_retriever(retriever, "red fox")
    with pytest.raises(AssertionError, match="the first two of three"):
        check_retriever(Bottomless(), "red fox")
