from __future__ import annotations

import pytest

from letters import Letters
from secondpass.errors import InvalidInput, StoreError
from secondpass.pipeline import Pipeline
from secondpass.retrieval.langchain import LangChainRetriever
from secondpass.testing import RETRIEVER_CHECKS

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

TEXTS = ["a red fox", "the red red door", "red wine and a fox", "blue sky", "a fox, a fox, a fox"]


class LetterEmbeddings(Embeddings):
    def embed_documents(self, texts):
        return Letters().encode_passages(texts).tolist()

    def embed_query(self, text):
        return Letters().encode_queries([text])[0].tolist()


class Fixed(BaseRetriever):
    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


class Distances(InMemoryVectorStore):
    def similarity_search_with_score(self, query, k=4, **options):
        found = super().similarity_search_with_score(query, k, **options)
        return [(document, 1 - score) for document, score in found]


def filled(kind=InMemoryVectorStore):
    store = kind(LetterEmbeddings())
    store.add_documents(
        [
            Document(text, id=f"id {n}", metadata={"source": f"/{n}.md", "list": [n], "year": n})
            for n, text in enumerate(TEXTS)
        ]
    )
    return store


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("host", ["store", "distances", "retriever"])
def test_a_host_is_a_retriever(check, host):
    hosts = {
        "store": lambda: LangChainRetriever(filled()),
        "distances": lambda: LangChainRetriever(filled(Distances), ascending=True),
        "retriever": lambda: LangChainRetriever(filled().as_retriever(search_kwargs={"k": 5})),
    }
    check(hosts[host](), "red fox")


def test_documents_become_candidates():
    found = LangChainRetriever(filled()).retrieve("a red fox", 5)
    far = LangChainRetriever(filled(Distances), ascending=True).retrieve("a red fox", 5)

    passage = found[0].passage
    assert (passage.id, passage.text, passage.document, passage.path) == (
        *("id 0", "a red fox"),
        *("/0.md", "/0.md"),
    )
    assert passage.metadata == {"source": "/0.md", "year": 0}
    vectors = Letters().encode_passages(TEXTS)
    expected = sorted((float(vectors[0] @ vector) for vector in vectors), reverse=True)
    assert [one.score for one in found] == pytest.approx(expected, abs=1e-6)
    assert [one.score for one in far] == pytest.approx([one - 1 for one in expected], abs=1e-6)


def test_a_retriever_gives_an_order():
    documents = [
        Document("one"),
        Document("two", metadata={"source": "s"}),
        Document("one", id="x"),
    ]
    found = LangChainRetriever(Fixed(documents=[*documents, documents[2]])).retrieve("q", 10)

    assert [(one.passage.id, one.score) for one in found] == [("#0", 1), ("s#1", 0.5), ("x", 1 / 3)]
    assert (
        Pipeline(LangChainRetriever(Fixed(documents=documents)), None).search("q")[0].text == "one"
    )


def test_mistakes_have_clear_errors():
    class Senseless(Distances):
        def similarity_search_with_score(self, query, k=4, **options):
            return [(Document("a"), float("nan"))]

    with pytest.raises(StoreError, match="pass ascending=True"):
        LangChainRetriever(filled(Distances)).retrieve("a red fox", 5)
    with pytest.raises(StoreError, match="pass ascending=False"):
        LangChainRetriever(filled(), ascending=True).retrieve("a red fox", 5)
    with pytest.raises(StoreError, match="not a number"):
        LangChainRetriever(filled(Senseless)).retrieve("a red fox", 5)
    with pytest.raises(InvalidInput, match="got a str"):
        LangChainRetriever("store")
    with pytest.raises(InvalidInput, match="gives no scores"):
        LangChainRetriever(Fixed(documents=[]), ascending=True)
