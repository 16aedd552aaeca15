"""A store that lives as long as its process: exact, short, and the oracle of the other stores."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from secondpass.errors import StoreError
from secondpass.retrieval.bm25 import inverse_frequency, saturation, searched_terms
from secondpass.retrieval.documents import (
    check_documents,
    check_no_vectors,
    check_record,
    check_same_encoder,
    document_exists,
    no_vectors,
    passage_exists,
    passages_without_vectors,
    unknown_passage,
)
from secondpass.retrieval.filters import conditions, passes
from secondpass.retrieval.stores.info import StoreInfo
from secondpass.retrieval.words import ANALYSER_VERSION, terms
from secondpass.types import EncoderRecord, Filter, IndexedDocument, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Entry:
    passage: Passage
    occurrences: Counter[str]
    length: int
    vector: NDArray[np.float32] | None


def _entry(passage: Passage, vector: NDArray[np.float32] | None) -> _Entry:
    found = terms(passage.text_in_context)
    return _Entry(passage, Counter(found), len(found), vector)


@dataclass(slots=True)
class _Content:
    """Documents and their passages by id, both in the order of adding."""

    documents: dict[str, IndexedDocument]
    entries: dict[str, _Entry]

    def remove(self, document: str) -> bool:
        gone = self.documents.pop(document, None)
        for passage in gone.passages if gone else ():
            del self.entries[passage.id]
        return gone is not None

    def append(self, document: IndexedDocument) -> None:
        self.documents[document.id] = replace(document, vectors=None)
        for at, passage in enumerate(document.passages):
            if passage.id in self.entries:
                raise passage_exists(passage.id)
            vector = None if document.vectors is None else document.vectors[at]
            self.entries[passage.id] = _entry(passage, vector)


class MemoryStore:
    """Keeps passages in memory and compares a query with each of them. Safe to share by threads.

    Meant for tests and for collections of some thousand passages; each search reads them all.
    """

    in_process: ClassVar[bool] = True

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._content: _Content | None = _Content({}, {})
        self._encoder: EncoderRecord | None = None

    def add(self, documents: Sequence[IndexedDocument]) -> None:
        """Store new documents; one whose id is there already is InvalidInput."""
        self._append(documents, replacing=False)

    def upsert(self, documents: Sequence[IndexedDocument]) -> None:
        """Store documents, each in the place of all that its id had before, as if added now."""
        self._append(documents, replacing=True)

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents and their passages; returns how many of them there were."""
        with self._lock:
            content = self._open_content()
            return sum(content.remove(document) for document in documents)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; ids that are not there are left out."""
        entries = self._open_content().entries
        found = [entries.get(passage) for passage in ids]
        return [entry.passage for entry in found if entry is not None]

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter."""
        wanted = conditions(where)
        return sum(passes(entry.passage.metadata, wanted) for entry in self._entries())

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages."""
        with self._lock:
            return iter(list(self._open_content().documents.values()))

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""
        there = self._open_content().documents.values()
        return {one.id: one.passages[0].path if one.passages else None for one in there}

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """The digest of each of these documents that is there, by id."""
        there = self._open_content().documents
        found = [there.get(document) for document in documents]
        return {document.id: document.digest for document in found if document is not None}

    def search_lexical(
        self, query: str, depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, BM25 score), best first; ties by the order of adding."""
        wanted = conditions(where)
        entries = self._entries()
        frequencies = {
            term: sum(term in entry.occurrences for entry in entries) for term in terms(query)
        }
        weights = {
            term: inverse_frequency(len(entries), frequencies[term])
            for term in searched_terms(frequencies, len(entries))
        }
        mean_length = sum(entry.length for entry in entries) / max(1, len(entries))
        scores = [
            (entry.passage.id, _score(entry, weights, mean_length))
            for entry in entries
            if not weights.keys().isdisjoint(entry.occurrences)
            and passes(entry.passage.metadata, wanted)
        ]
        return sorted(scores, key=lambda scored: -scored[1])[: max(depth, 0)]

    def encoder(self) -> EncoderRecord | None:
        """What made the vectors; None where there are none and documents come without."""
        self._open_content()
        return self._encoder

    def record_encoder(self, record: EncoderRecord) -> None:
        """Say what will make the vectors. StoreError where passages or another encoder are there."""
        check_record(record)
        with self._lock:
            entries = self._open_content().entries
            if self._encoder is not None:
                check_same_encoder(self._encoder, record)
            elif entries:
                raise passages_without_vectors(len(entries))
            self._encoder = record

    def search_dense(
        self, vector: NDArray[np.float32], depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, cosine), best first; ties by the order of adding."""
        import numpy as np

        from secondpass.retrieval.vectors import Block, nearest, unit_query

        wanted = conditions(where)
        query = unit_query(vector, self._vectors_of())
        kept = [entry for entry in self._entries() if passes(entry.passage.metadata, wanted)]
        vectors = [entry.vector for entry in kept if entry.vector is not None]
        if not vectors:
            return []
        block = Block(np.arange(len(kept)), np.stack(vectors))
        return [(kept[at].passage.id, score) for at, score in nearest([block], query, depth)]

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these passages, float32[ids, dimension]; InvalidInput for an unknown id."""
        import numpy as np

        dimension = self._vectors_of().dimension
        entries = self._open_content().entries
        found = np.empty((len(ids), dimension), dtype=np.float32)
        for at, passage in enumerate(ids):
            if passage not in entries:
                raise unknown_passage(passage)
            found[at] = entries[passage].vector
        return found

    def info(self) -> StoreInfo:
        """How much the store holds."""
        with self._lock:
            content = self._open_content()
            documents, passages = len(content.documents), len(content.entries)
        return StoreInfo(None, documents, passages, 0, None, ANALYSER_VERSION)

    def flush(self) -> None:
        """Return at once: nothing here survives the process."""
        self._open_content()

    def close(self) -> None:
        """Forget everything; a later call raises StoreError. Closing twice is allowed."""
        with self._lock:
            self._content = None

    def _append(self, documents: Sequence[IndexedDocument], *, replacing: bool) -> None:
        check_documents(documents)
        with self._lock:
            content = self._open_content()
            documents = self._with_vectors(documents)
            # A copy takes the change, so that a call that fails half-way changes nothing.
            changed = _Content(dict(content.documents), dict(content.entries))
            for document in documents:
                if replacing:
                    changed.remove(document.id)
                elif document.id in changed.documents:
                    raise document_exists(document.id)
                changed.append(document)
            self._content = changed

    def _with_vectors(self, documents: Sequence[IndexedDocument]) -> Sequence[IndexedDocument]:
        record = self.encoder()
        if record is None:
            check_no_vectors(documents)
            return documents
        from secondpass.retrieval.vectors import with_unit_vectors

        return [with_unit_vectors(document, record) for document in documents]

    def _vectors_of(self) -> EncoderRecord:
        record = self.encoder()
        if record is None:
            raise no_vectors()
        return record

    def _open_content(self) -> _Content:
        with self._lock:
            if self._content is None:
                raise StoreError(
                    "the store is closed; expected an open one; make a new MemoryStore"
                )
            return self._content

    def _entries(self) -> list[_Entry]:
        with self._lock:
            return list(self._open_content().entries.values())


def _score(entry: _Entry, weights: dict[str, float], mean_length: float) -> float:
    # Added one by one, as SQLite adds them: `sum` rounds differently since Python 3.12.
    score = 0.0
    for term, weight in weights.items():
        if term in entry.occurrences:
            score += weight * saturation(entry.occurrences[term], entry.length, mean_length)
    return score
