"""Every store passes the suite that ships in `secondpass.testing`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass.protocols import Store
from secondpass.retrieval.stores import STORES, store_class
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.testing import STORE_CHECKS, check_store

NEEDS = {"chroma": "chromadb", "faiss": "faiss", "milvus": "pymilvus", "qdrant": "qdrant_client"}
SERVERS = ["chroma server"]
NUMBERS = itertools.count()


@pytest.fixture(
    params=[*sorted(STORES), *(pytest.param(one, marks=pytest.mark.slow) for one in SERVERS)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    name, _, server = request.param.partition(" ")
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"the extra '{name}' is not installed")
    kind = store_class(name)
    if server:
        address = request.getfixturevalue(f"{name}_server")
        opened = kind.open(address, collection=f"test_{next(NUMBERS)}")
    else:
        opened = kind() if kind is MemoryStore else kind.open(tmp_path / "index.db")
    yield opened
    opened.close()


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_store(check, store):
    check(store)


def test_the_whole_suite_finds_a_store_that_forgets():
    class Forgetful(MemoryStore):
        def delete(self, documents):
            return len(documents)

    check_store(MemoryStore)
    with pytest.raises(AssertionError, match="deleted: found 3, expected 1"):
        check_store(Forgetful)
