from __future__ import annotations

import pytest

from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval import Index
from secondpass.retrieval.stores.info import StoreInfo
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.schema import SCHEMA_VERSION
from secondpass.retrieval.words import ANALYSER_VERSION
from secondpass.types import Passage

PASSAGES = [
    Passage("a#0", "a red fox", "a", metadata={"lang": "en"}),
    Passage("a#1", "a blue door", "a", metadata={"lang": "en"}),
    Passage("b#0", "红色的狐狸", "b", metadata={"lang": "zh"}),
]


def test_an_index_lasts(tmp_path):
    with Index.open(tmp_path / "new" / "folder" / "index.db") as index:
        index.add(PASSAGES)
    with Index.open(tmp_path / "new" / "folder" / "index.db", create=False) as index:
        assert [passage for one in index.documents() for passage in one.passages] == PASSAGES
        assert index.retriever().retrieve("狐狸", 5)[0].passage == PASSAGES[2]


def test_count_and_delete(tmp_path):
    with Index.open(tmp_path / "index.db") as index:
        index.add(PASSAGES)
        assert (index.count(), index.count({"lang": "zh"})) == (3, 1)
        assert index.delete(["a", "c"]) == 1
        assert (index.count(), index.retriever().retrieve("red", 5)) == (1, [])


def test_info_of_a_file(tmp_path):
    with Index.open(tmp_path / "index.db") as index:
        index.add(PASSAGES)
        info = index.info()
    assert info.bytes_on_disk >= 4096
    assert info == StoreInfo(
        (tmp_path / "index.db").resolve(),
        2,
        3,
        info.bytes_on_disk,
        SCHEMA_VERSION,
        ANALYSER_VERSION,
    )


def test_info_of_memory():
    index = Index(MemoryStore())
    index.add(PASSAGES)
    assert index.info() == StoreInfo(None, 2, 3, 0, None, ANALYSER_VERSION)


def test_the_legs_alone_find_what_their_retrievers_find():
    from secondpass.engine import load_encoder

    with Index(MemoryStore(), load_encoder("static")) as index:
        index.add(PASSAGES)
        encoder = index.encoder()
        for query in ("red fox", "狐狸"):
            vector = encoder.encode_queries([query])[0]
            legs = {
                "lexical": index.search_lexical(query, 2),
                "dense": index.search_dense(vector, 2),
            }
            for name, found in legs.items():
                expected = index.retriever(first_stage=name).retrieve(query, 2)
                assert found == [(one.passage.id, one.score) for one in expected]
        with pytest.raises(InvalidInput, match="the query is blank"):
            index.search_lexical(" ", 1)


def test_an_index_without_vectors_has_no_encoder():
    with Index(MemoryStore()) as index:
        index.add(PASSAGES)
        assert index.encoder() is None


def test_a_closed_index_says_so(tmp_path):
    with Index.open(tmp_path / "index.db") as index:
        retriever = index.retriever()
    for call in (index.count, index.info, lambda: retriever.retrieve("x", 1)):
        with pytest.raises(StoreError, match="is closed; expected an open one; open it again"):
            call()
    with pytest.raises(StoreError, match="is closed"):
        index.add(PASSAGES)


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Index.open("index.db") as index:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        index.add(PASSAGES)
        assert index.info().path == (tmp_path / "index.db").resolve()
    assert list((tmp_path / "elsewhere").iterdir()) == []
