"""Every store passes the suite that ships in `secondpass.testing`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass.protocols import Store
from secondpass.retrieval.stores import STORES, store_class
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.testing import STORE_CHECKS, check_store


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kind = store_class(request.param)
    opened = SqliteStore.open(tmp_path / "index.db") if kind is SqliteStore else kind()
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
