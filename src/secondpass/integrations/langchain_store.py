"""An Index as LangChain's vector store, our encoders as its embeddings, and its as our encoder."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.encoders import load_encoder
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import host
from secondpass.integrations.passages import place_of
from secondpass.library import Index
from secondpass.protocols import Encoder
from secondpass.retrieval.filters import check_field, check_scalar
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.types import Candidate, Filter, Passage, Scalar

with host("LangChain", "langchain"):
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore

DEFAULT_ENCODER = "static"

# Metadata that an index cannot filter by is kept in this field, as JSON.
OTHER_METADATA = "langchain_metadata"

logger = logging.getLogger(__name__)


class SecondpassEmbeddings(Embeddings):
    """Vectors of an encoder of ours: of the bundled one, or of any by name. They have length 1."""

    def __init__(self, encoder: str | Encoder = DEFAULT_ENCODER) -> None:
        self.encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector a text, in their order."""
        vectors: list[list[float]] = self.encoder.encode_passages(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query, to be compared with those of documents."""
        vector: list[float] = self.encoder.encode_queries([text])[0].tolist()
        return vector


class SecondpassVectorStore(VectorStore):
    """An Index as a vector store: by itself it finds by words and by vectors, both fused.

    `first_stage` chooses 'lexical', 'dense' or 'hybrid'. A document becomes a document of the index
    with one passage of the same id. `filter` is a filter of ours; it reaches metadata that are a
    str, int, float or bool, and any other metadata come back as JSON keeps them. Vectors do not
    leave the index, so there is no search by vector and no MMR.
    """

    def __init__(
        self, index: Index, embedding: Embeddings | None = None, *, first_stage: str | None = None
    ) -> None:
        self.index = index
        self.first_stage = first_stage
        self._embedding = embedding

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        embedding: Embeddings | None = None,
        *,
        create: bool = True,
        first_stage: str | None = None,
    ) -> Self:
        """The store in the index at `path`, made where there is none unless `create` is False.

        `embedding` makes the vectors; None takes the bundled encoder, or what the index has
        recorded. Raises what `Index.open` raises.
        """
        index = Index.open(path, create=create, encoder=_encoder_of(embedding))
        return cls(index, embedding, first_stage=first_stage)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        **kwargs: object,
    ) -> Self:
        """A store with these texts: in an index at `path`, or in memory where there is none."""
        _refuse(kwargs)
        if path is not None:
            store = cls.open(path, embedding)
        else:
            encoder = _encoder_of(embedding) or load_encoder(DEFAULT_ENCODER)
            store = cls(Index(MemoryStore(), encoder), embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @property
    def embeddings(self) -> Embeddings | None:
        """What was given to make vectors; None where the index has its own encoder."""
        return self._embedding

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: object,
    ) -> list[str]:
        """The ids of the texts, now stored; a known id is replaced, a missing one is made."""
        _refuse(kwargs)
        given = [texts] if isinstance(texts, str) else list(texts)
        for name, values in (("metadatas", metadatas), ("ids", ids)):
            if values and len(values) != len(given):
                raise InvalidInput(
                    f"there are {len(values)} {name} for {len(given)} texts; expected one each"
                )
        named = [one or str(uuid.uuid4()) for one in ids or [None] * len(given)]
        described = metadatas or [{}] * len(given)
        report = self.index.add(
            Passage(id, text, id, metadata=_stored(metadata))
            for id, text, metadata in zip(named, given, described, strict=True)
        )
        if report.blank:
            logger.warning("%d blank texts were left out of the index", report.blank)
        return named

    def delete(self, ids: list[str] | None = None, **kwargs: object) -> bool:
        """Forget these documents, all where None; ids that are not there change nothing."""
        _refuse(kwargs)
        if ids is None:
            ids = list(self.index.paths())
        for passage in self.index.get(ids):
            if passage.document != passage.id:
                raise InvalidInput(
                    f"'{passage.id}' is a part of the document '{passage.document}'; expected a "
                    "document's own id; delete the whole document with index.delete"
                )
        self.index.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in this order; ids that are not there are left out."""
        return [document_of(passage) for passage in self.index.get(ids)]

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: object
    ) -> list[Document]:
        """The `k` documents that fit the query best, best first."""
        _refuse(kwargs)
        found = self.similarity_search_with_score(query, k, filter)
        return [document for document, _ in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: object
    ) -> list[tuple[Document, float]]:
        """The same with the first stage's score, higher for better: fused, BM25's or a cosine."""
        _refuse(kwargs)
        return _scored(
            self.index.retriever(filter, first_stage=self.first_stage).retrieve(query, k)
        )

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: object
    ) -> list[tuple[Document, float]]:
        # Fused scores and BM25's have no scale from 0 to 1; cosines have.
        _refuse(kwargs)
        found = _scored(self.index.retriever(filter, first_stage="dense").retrieve(query, k))
        return [(document, min(1.0, max(0.0, score))) for document, score in found]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: object
    ) -> list[tuple[Document, float]]:
        _refuse(kwargs)
        return await run_in_executor(
            None, self._similarity_search_with_relevance_scores, query, k, filter
        )


class _EmbeddingsEncoder:
    """LangChain's embeddings as an encoder of ours; vectors get length 1."""

    def __init__(self, embedding: Embeddings) -> None:
        self._embedding = embedding

    @cached_property
    def dimension(self) -> int:
        return len(self._embedding.embed_query("dimension"))

    @property
    def fingerprint(self) -> str:
        # What an Embeddings depends on cannot be read from it; its class, model and dimension can.
        kind = type(self._embedding)
        model = getattr(self._embedding, "model", getattr(self._embedding, "model_name", ""))
        return f"langchain:{kind.__module__}.{kind.__qualname__}:{model}:{self.dimension}"

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        return self._normalised([self._embedding.embed_query(text) for text in texts])

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        return self._normalised(self._embedding.embed_documents(list(texts)))

    def _normalised(self, vectors: list[list[float]]) -> NDArray[np.float32]:
        rows = np.asarray(vectors, dtype=np.float64).reshape(len(vectors), self.dimension)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _encoder_of(embedding: Embeddings | None) -> Encoder | None:
    if embedding is None:
        return None
    if isinstance(embedding, SecondpassEmbeddings):
        return embedding.encoder
    return _EmbeddingsEncoder(embedding)


def _refuse(unknown: Mapping[str, object]) -> None:
    if unknown:
        raise InvalidInput(
            f"{', '.join(unknown)}: no such option; expected the ones that are documented; leave "
            "it out"
        )


def _stored(metadata: Mapping[str, object]) -> dict[str, Scalar]:
    """Metadata as an index takes them: what is no scalar of its own goes into one field as JSON."""
    scalars: dict[str, Scalar] = {}
    others: dict[str, object] = {}
    for field, value in metadata.items():
        try:
            check_field(field, "a metadata field's name")
            check_scalar(value, f"metadata field '{field}'")
        except InvalidInput:
            others[field] = value
        else:
            scalars[field] = value  # type: ignore[assignment]  # check_scalar says what it is
    if others:
        try:
            scalars[OTHER_METADATA] = json.dumps(others)
        except TypeError as error:
            raise InvalidInput(
                f"metadata fields {', '.join(others)} cannot be kept: {error}; expected what JSON "
                "can hold; convert them to text"
            ) from error
    return scalars


def document_of(passage: Passage) -> Document:
    """A passage as LangChain's document; where it stands is in the metadata, if it is known."""
    metadata: dict[str, Any] = place_of(passage)
    metadata |= json.loads(str(metadata.pop(OTHER_METADATA, "{}")))
    return Document(id=passage.id, page_content=passage.text, metadata=metadata)


def _scored(candidates: Sequence[Candidate]) -> list[tuple[Document, float]]:
    return [(document_of(one.passage), float(one.score)) for one in candidates]
