"""A first stage made of a LangChain vector store or retriever: their documents become candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secondpass.errors import InvalidInput, MissingExtra, StoreError
from secondpass.retrieval.lexical import check_query
from secondpass.types import Candidate, Metadata, Passage

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore


class LangChainRetriever:
    """Finds candidates by a LangChain vector store or retriever, which stays as it is.

    A vector store is asked for scores. `ascending` says that a lower one is better there, as the
    distances of FAISS and Chroma are: such scores are negated. A retriever gives documents in an
    order and without scores: there a candidate's score is 1 / rank, and the retriever's own number
    of documents is the most that comes.

    A passage's id is the document's, or its place among those found where it has none; its document
    and path are the metadata field `source` where that is a text. Of metadata only texts, numbers
    and flags are kept.
    """

    def __init__(self, host: VectorStore | BaseRetriever, *, ascending: bool = False) -> None:
        try:
            from langchain_core.retrievers import BaseRetriever
            from langchain_core.vectorstores import VectorStore
        except ImportError as error:
            raise MissingExtra("a retriever of LangChain's", "langchain") from error
        if not isinstance(host, VectorStore | BaseRetriever):
            raise InvalidInput(
                f"got a {type(host).__name__}; expected a LangChain vector store or retriever; pass "
                "one of these"
            )
        if ascending and isinstance(host, BaseRetriever):
            raise InvalidInput(
                "ascending=True came with a retriever, which gives no scores; expected a vector "
                "store; leave it out"
            )
        self._retriever = host if isinstance(host, BaseRetriever) else None
        self._store = host if isinstance(host, VectorStore) else None
        self._sign = -1.0 if ascending else 1.0

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best first, ties in the host's order.

        A blank query, or a depth below 1, is InvalidInput; StoreError for a score that is NaN or
        for best ones that come last. What the host raises comes out as it is.
        """
        check_query(query, depth)
        if self._retriever is not None:
            found = self._retriever.invoke(query)[:depth]
            scored = [(document, 1 / rank) for rank, document in enumerate(found, start=1)]
        else:
            scored = self._scored(query, depth)
        return [
            Candidate(passage, score, rank)
            for rank, (passage, score) in enumerate(_passages(scored), start=1)
        ]

    def _scored(self, query: str, depth: int) -> list[tuple[Document, float]]:
        assert self._store is not None
        found = self._store.similarity_search_with_score(query, k=depth)[:depth]
        scored = [(document, self._sign * float(score)) for document, score in found]
        scores = [score for _, score in scored]
        if any(math.isnan(score) for score in scores):
            raise StoreError(
                f"{type(self._store).__name__} gave a score that is not a number; expected numbers; "
                "check its vectors"
            )
        if scores != sorted(scores, reverse=True):
            if scores == sorted(scores):
                raise StoreError(
                    f"{type(self._store).__name__} gives lower scores to better documents; expected "
                    f"the opposite; pass ascending={self._sign > 0}"
                )
            scored.sort(key=lambda one: -one[1])
        return scored


def _passages(scored: list[tuple[Document, float]]) -> list[tuple[Passage, float]]:
    """The passages, each id once: a document that comes again is left to its better place."""
    found: dict[str, tuple[Passage, float]] = {}
    for document, score in scored:
        id = document.id or _own_id(document, found)
        if id not in found:
            found[id] = (_passage(id, document), score)
    return list(found.values())


def _own_id(document: Document, taken: Mapping[str, object]) -> str:
    source = _plain(document.metadata).get("source", "")
    return f"{source}#{len(taken)}"


def _passage(id: str, document: Document) -> Passage:
    metadata = _plain(document.metadata)
    source, title = metadata.get("source"), metadata.get("title")
    path = source if isinstance(source, str) else None
    text = document.page_content
    return Passage(
        id,
        text,
        document=path or id,
        end=len(text),
        title=title if isinstance(title, str) else "",
        path=path,
        metadata=metadata,
    )


def _plain(metadata: Mapping[str, Any]) -> Metadata:
    return {
        field: value for field, value in metadata.items() if isinstance(value, str | int | float)
    }
