"""The contracts between the layers, on one page.

contract        implemented by                                   checked by (testing.py)
Backend         engine.backends.*                                check_backend
VectorBackend   engine.backends.*                                check_backend
Encoder         engine.BiEncoder, engine.encoders.*              check_encoder
Reranker        engine.CrossEncoder, duplicates.Deduplicated     check_reranker
Retriever       retrieval.*, expansion, pipeline.Pipeline        check_retriever
Expander        expansion.*
Store           retrieval.stores.*                               check_store
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from secondpass.types import (
    Candidate,
    EncoderRecord,
    Expanded,
    Expansion,
    Filter,
    IndexedDocument,
    Passage,
    Ranked,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Token rows laid end to end without padding: all that a backend gets to see.

    `ids` and `types` are int32[tokens], `lengths` int32[rows] with `sum(lengths) == tokens`.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int32]
    lengths: NDArray[np.int32]


class Backend(Protocol):
    """A model's forward pass: integer arrays in, one logit a row out."""

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Logits, float32[rows] in row order; the logit of a row depends on that row alone."""

    def close(self) -> None:
        """Release the weights; a later `forward` raises EngineError. Closing twice is allowed."""


@runtime_checkable
class VectorBackend(Protocol):
    """The same forward pass with the other head: one vector a row out."""

    def encode(self, batch: Batch) -> NDArray[np.float32]:
        """Vectors, float32[rows, hidden]; that of a row depends on that row alone."""

    def close(self) -> None:
        """Release the weights; a later `encode` raises EngineError. Closing twice is allowed."""


class Encoder(Protocol):
    """Turns texts into vectors whose inner product says how near they are."""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""

    @property
    def fingerprint(self) -> str:
        """A name of everything that a vector depends on: equal ones make comparable vectors."""

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension], each of its own text alone."""

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages, to which an encoder may do something else than to queries."""


class Reranker(Protocol):
    """Puts the texts that answer a query best on top."""

    def rerank(self, query: str, texts: Sequence[str], top_k: int | None = None) -> list[Ranked]:
        """The best `top_k` texts (all where None), best first; ties keep the order of `texts`."""


class BudgetedReranker(Protocol):
    """A reranker that can stop in time."""

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        top_k: int | None = None,
        *,
        budget_ms: float | None = None,
    ) -> list[Ranked]:
        """As `Reranker.rerank`; texts not reached in time stand below, `scored` being False."""


def takes_budget(reranker: Reranker | None) -> bool:
    """Whether this reranker can stop in time: whether its `rerank` takes `budget_ms`."""
    return reranker is not None and "budget_ms" in inspect.signature(reranker.rerank).parameters


@runtime_checkable
class Blending(Protocol):
    """A reranker that knows how much of the first stage's score does its order good."""

    @property
    def first_stage_weight(self) -> float:
        """The weight of the first stage's z-score beside the model's; 0 for none."""


class Retriever(Protocol):
    """A first stage: finds candidates in a collection that it knows."""

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best first, ranks from 1; a blank query is InvalidInput."""


class Expander(Protocol):
    """Finds further queries for the one that was asked."""

    def expand(self, query: str) -> Expansion:
        """The further queries; none, and the reason, where they cannot be had."""


@runtime_checkable
class ExpandingRetriever(Protocol):
    """A first stage that asks several queries and can tell which."""

    def retrieve_expanded(self, query: str, depth: int) -> Expanded:
        """The candidates of `Retriever.retrieve`, and how they came about."""


class PassageWriter(Protocol):
    """The writing half of a store. Each call is one transaction: all of it happens, or nothing."""

    def add(self, documents: Sequence[IndexedDocument]) -> None:
        """Store new documents; one whose id is there already is InvalidInput."""

    def upsert(self, documents: Sequence[IndexedDocument]) -> None:
        """Store documents, each in the place of all that its id had before."""

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents and their passages; returns how many of them there were."""


class PassageReader(Protocol):
    """The reading half of a store."""

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; ids that are not there are left out."""

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter."""

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages."""

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""


class LexicalSearch(Protocol):
    """Search by words."""

    def search_lexical(
        self, query: str, depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, BM25 score), best first; ties by the order of adding."""


class DenseSearch(Protocol):
    """Search by vectors, all of one encoder.

    A store takes vectors once it has recorded their encoder; from then on every document must bring
    them: float32, of the recorded dimension, finite and not zero. Anything else is InvalidInput.
    """

    def encoder(self) -> EncoderRecord | None:
        """What made the vectors; None where there are none and documents come without."""

    def record_encoder(self, record: EncoderRecord) -> None:
        """Say what will make the vectors. StoreError where passages or another encoder are there.

        The same encoder may be recorded again; encoders of one fingerprint are the same, and the
        newest name stays.
        """

    def search_dense(
        self, vector: NDArray[np.float32], depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, cosine), best first; ties by the order of adding.

        `vector` is float32[dimension]. StoreError where the store has no vectors.
        """

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these passages, float32[ids, dimension]; InvalidInput for an unknown id."""


class Store(PassageWriter, PassageReader, LexicalSearch, DenseSearch, Protocol):
    """Where passages live: the four contracts above, and a life that ends."""

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """The digest of each of these documents that is there, by id."""

    def flush(self) -> None:
        """Return once everything written would survive a loss of power."""

    def close(self) -> None:
        """Release files and connections; a later call raises StoreError. Closing twice is allowed."""
