from __future__ import annotations

import numpy as np
import pytest

from letters import Letters
from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval import Index
from secondpass.retrieval.faiss import FaissRetriever
from secondpass.retrieval.stores import faiss_file
from secondpass.retrieval.stores.faiss import FaissStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.testing import RETRIEVER_CHECKS
from secondpass.types import EncoderRecord, IndexedDocument, Passage, Range

faiss = pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
TEXTS = ["a red fox", "the red red door", "red wine and a fox", "blue sky", "a fox, a fox, a fox"]


def filled(path, kind=FaissStore, documents=300):
    store = kind.open(path)
    store.record_encoder(EncoderRecord("eight", "f", 8))
    numbers = np.random.default_rng(0)
    for n in range(documents):
        passages = tuple(Passage(f"{n}#{i}", "text", f"{n}", metadata={"n": n}) for i in range(2))
        vectors = numbers.normal(size=(2, 8)).astype(np.float32)
        store.add([IndexedDocument(f"{n}", "1", passages, vectors)])
    return store


def asked(store, where=None):
    queries = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    return [store.search_dense(query, 20, where) for query in queries]


def test_it_finds_what_the_sqlite_store_finds(tmp_path):
    with_faiss, plain = (
        filled(tmp_path / "index", documents=60),
        SqliteStore.open(tmp_path / "index"),
    )
    assert asked(with_faiss) == asked(plain)
    for store in (plain, with_faiss):  # another process's writes count too
        store.delete(["3", "40"])
        passage = Passage(f"new {store}", "text", f"new {store}")
        vector = np.ones((1, 8), dtype=np.float32)
        store.add([IndexedDocument(passage.document, "1", (passage,), vector)])
        for where in (None, {"n": Range(10, 30)}, {"n": 1000}):
            assert asked(with_faiss, where) == asked(plain, where)
    with_faiss.close()
    plain.close()


def test_the_file_is_one_that_faiss_reads(tmp_path):
    store = filled(tmp_path / "index", documents=20)
    wanted = asked(store)
    store.flush()
    there = faiss.read_index(str(tmp_path / "index.faiss"))
    store.close()

    assert (there.ntotal, there.d) == (40, 8)
    again = FaissStore.open(tmp_path / "index", create=False)
    assert asked(again) == wanted
    again.close()


def test_a_large_file_has_a_byte_a_number_and_finds_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_file, "LARGE", 200)
    small = filled(tmp_path / "index", documents=90)
    asked(small)
    small.flush()
    flat = faiss.read_index(str(tmp_path / "index.faiss"))
    small.close()
    large = FaissStore.open(tmp_path / "index")
    for n in range(90, 300):
        vectors = np.random.default_rng(n).normal(size=(2, 8)).astype(np.float32)
        passages = tuple(Passage(f"{n}#{i}", "text", f"{n}", metadata={"n": n}) for i in range(2))
        large.add([IndexedDocument(f"{n}", "1", passages, vectors)])
    large.delete(["7", "250"])
    plain = SqliteStore.open(tmp_path / "index")
    for where in (None, {"n": Range(10, 30)}, {"n": 1000}):
        assert asked(large, where) == asked(plain, where)
    large.close()

    there = faiss.read_index(str(tmp_path / "index.faiss"))
    assert isinstance(faiss.downcast_index(flat.index), faiss.IndexFlatIP)
    assert isinstance(faiss.downcast_index(there.index), faiss.IndexScalarQuantizer)
    assert there.ntotal == 596
    again = FaissStore.open(tmp_path / "index")
    assert asked(again) == asked(plain)
    assert again._file._written  # what was read is used as it is
    again.close()
    plain.close()


@pytest.mark.parametrize("harm", ["gone", "cut", "text", "flat", "other", "stale"])
def test_a_bad_file_is_made_anew(harm, tmp_path):
    store, path = filled(tmp_path / "index", documents=20), tmp_path / "index.faiss"
    asked(store)
    store.close()
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm in ("cut", "text"):
        path.write_bytes(whole[:100] if harm == "cut" else b"not an index")
    elif harm == "flat":
        faiss.write_index(faiss.IndexFlatL2(8), str(path))
    elif harm == "other":
        other = faiss.IndexIDMap(faiss.IndexFlatIP(8))
        other.add_with_ids(np.ones((40, 8), dtype=np.float32), np.arange(1, 41))
        faiss.write_index(other, str(path))
    else:
        with SqliteStore.open(tmp_path / "index")._connections.writing() as connection:
            connection.execute("DELETE FROM passages WHERE number < 5")
    plain, again = SqliteStore.open(tmp_path / "index"), FaissStore.open(tmp_path / "index")
    assert asked(again) == asked(plain)
    again.close()
    plain.close()

    assert faiss.read_index(str(path)).ntotal == (36 if harm == "stale" else 40)
    assert sorted(one.name for one in tmp_path.glob("*.new")) == []


@pytest.fixture(params=["Flat", "HNSW8", "IVF1,Flat", "L2"])
def theirs(request, tmp_path):
    vectors = Letters().encode_passages(TEXTS)
    metric = faiss.METRIC_L2 if request.param == "L2" else faiss.METRIC_INNER_PRODUCT
    made = faiss.index_factory(27, request.param.replace("L2", "Flat"), metric)
    made.train(vectors)
    made.add(vectors)
    faiss.write_index(made, str(tmp_path / "theirs.faiss"))
    return tmp_path / "theirs.faiss"


PASSAGES = [Passage(f"{n}", text, f"{n}") for n, text in enumerate(TEXTS)]


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
def test_an_index_of_a_user_is_a_retriever(check, theirs):
    check(FaissRetriever.open(theirs, PASSAGES, Letters()), "red fox")


def test_mistakes_have_clear_errors(theirs, tmp_path):
    (tmp_path / "text").write_text("no index")
    with pytest.raises(StoreError, match="is no FAISS index"):
        FaissRetriever.open(tmp_path / "text", PASSAGES, Letters())
    with pytest.raises(StoreError, match="there is no file"):
        FaissRetriever.open(tmp_path / "none", PASSAGES, Letters())
    with pytest.raises(InvalidInput, match="5 vectors of 27 numbers, but there are 4 passages"):
        FaissRetriever.open(theirs, PASSAGES[:4], Letters())
    named = faiss.IndexIDMap(faiss.IndexFlatIP(27))
    named.add_with_ids(Letters().encode_passages(TEXTS), np.arange(100, 105))
    with pytest.raises(StoreError, match="names row 10"):
        FaissRetriever(named, PASSAGES, Letters()).retrieve("red fox", 1)


def test_an_index_searches_with_it(tmp_path):
    with Index.open(tmp_path / "index", store="faiss", encoder=Letters()) as index:
        index.add(PASSAGES)
        found = index.retriever().retrieve("red fox", 2)
    assert found[0].passage.id == "0"
    assert (tmp_path / "index.faiss").is_file()
