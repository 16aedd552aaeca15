from __future__ import annotations

import pytest

from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval.stores.milvus import MilvusStore
from secondpass.types import IndexedDocument, Passage

pytest.importorskip("pymilvus", reason="the extra 'milvus' is not installed")


def test_a_passage_too_long_for_milvus_is_an_error_and_nothing_is_kept(tmp_path):
    store = MilvusStore.open(tmp_path / "index.db")
    long = Passage("long", "中" * 4000, "d")
    with pytest.raises(InvalidInput, match="the terms of passage 'long' takes"):
        store.add([IndexedDocument("d", "1", (Passage("short", "x", "d"), long))])
    assert store.count() == 0
    assert list(store.documents()) == []
    store.close()


def test_mistakes_have_clear_errors(tmp_path):
    with pytest.raises(InvalidInput, match="does not end in"):
        MilvusStore.open(tmp_path / "index")
    with pytest.raises(StoreError, match="there is no Milvus Lite database"):
        MilvusStore.open(tmp_path / "index.db", create=False)
