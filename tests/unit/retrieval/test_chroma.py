from __future__ import annotations

import logging

import numpy as np
import pytest

from letters import Letters
from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval.chroma import ChromaCollection
from secondpass.retrieval.stores.chroma import ChromaStore
from secondpass.testing import RETRIEVER_CHECKS
from secondpass.types import Range

chromadb = pytest.importorskip("chromadb", reason="the extra 'chroma' is not installed")
TEXTS = ["a red fox", "the red red door", "red wine and a fox", "blue sky", "a fox, a fox, a fox"]


class LetterFunction(chromadb.EmbeddingFunction):
    """An embedding function of a user's, as Chroma wants them."""

    def __init__(self):
        pass

    def __call__(self, input):
        return list(Letters().encode_passages(input))

    @staticmethod
    def name():
        return "letters"

    def get_config(self):
        return {}

    @staticmethod
    def build_from_config(config):
        return LetterFunction()


@pytest.fixture(params=["cosine", "ip", "l2"])
def space(request):
    return request.param


@pytest.fixture
def theirs(tmp_path, space):
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    made = client.create_collection(
        "mine", embedding_function=LetterFunction(), configuration={"hnsw": {"space": space}}
    )
    made.add(
        ids=[f"id {n}" for n in range(5)],
        documents=TEXTS,
        metadatas=[{"year": 2020 + n, "source": f"/{n % 2}.md", "title": "T"} for n in range(5)],
    )
    made.add(ids=["none"], embeddings=[np.ones(27, dtype=np.float32)])
    yield tmp_path / "db"
    client.close()


@pytest.fixture
def opened(theirs):
    with ChromaCollection.open(theirs, "mine", encoder=Letters()) as collection:
        yield collection


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
def test_a_collection_of_a_user_is_a_retriever(check, opened):
    check(opened, "red fox")


def test_records_become_passages(opened, space, caplog):
    with caplog.at_level(logging.WARNING):
        found = opened.retrieve("a red fox", 10)

    assert "1 records of collection 'mine' are left out" in caplog.text
    assert len(found) == 5
    first = found[0]
    assert (first.passage.id, first.passage.text) == ("id 0", "a red fox")
    assert (first.passage.document, first.passage.path, first.passage.title) == (
        *("/0.md", "/0.md"),
        "T",
    )
    assert first.passage.metadata == {"year": 2020, "source": "/0.md", "title": "T"}
    vectors = Letters().encode_passages(TEXTS)
    for one in found:
        cosine = float(vectors[0] @ vectors[int(one.passage.id[-1])])
        expected = 2 * cosine - 2 if space == "l2" else cosine
        assert one.score == pytest.approx(expected, abs=1e-5)


def test_it_filters_and_changes_nothing(theirs):
    with ChromaCollection.open(
        theirs, "mine", encoder=Letters(), where={"year": Range(2021, 2023), "source": "/1.md"}
    ) as opened:
        assert [one.passage.id for one in opened.retrieve("fox", 10)] == ["id 1", "id 3"]
    client = chromadb.PersistentClient(str(theirs))
    there = client.get_collection("mine", embedding_function=LetterFunction()).get()
    assert there["documents"] == [*TEXTS, None]
    client.close()


def test_an_embedding_function_serves_as_encoder(theirs, opened):
    with ChromaCollection.open(theirs, "mine", embedding=LetterFunction()) as other:
        assert other.retrieve("red fox", 3) == opened.retrieve("red fox", 3)


def test_mistakes_have_clear_errors(theirs, tmp_path):
    class Short(Letters):
        def encode_queries(self, texts):
            return super().encode_queries(texts)[:, :5]

    with pytest.raises(StoreError, match="one of its collections: mine"):
        ChromaCollection.open(theirs, "yours", encoder=Letters())
    with pytest.raises(StoreError, match="there is no Chroma database"):
        ChromaCollection.open(tmp_path / "none", "mine")
    with pytest.raises(InvalidInput, match="both encoder and embedding"):
        ChromaCollection.open(theirs, "mine", encoder=Letters(), embedding=LetterFunction())
    with (
        ChromaCollection.open(theirs, "mine", encoder=Short()) as opened,
        pytest.raises(StoreError, match="dimension of 27, got 5"),
    ):
        opened.retrieve("fox", 3)
    opened.close()
    with pytest.raises(StoreError, match="is closed"):
        opened.retrieve("fox", 3)
    with pytest.raises(StoreError, match="not an index of ours"):
        ChromaStore.open(theirs, collection="mine")


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(StoreError, match="no Chroma server answers at"):
        ChromaStore.open("http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="no address of a server"):
        ChromaStore.open("http://:x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        ChromaStore.open(tmp_path / "file")
