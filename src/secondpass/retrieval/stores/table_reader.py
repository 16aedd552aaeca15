"""The reading half of a store in a vector database, whichever it is.

Readers look at the ledger before and after, and again where a writer came in between, so that they
never see a part of a write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from secondpass.errors import SecondpassError, StoreError
from secondpass.retrieval.documents import no_vectors, unknown_passage
from secondpass.retrieval.filters import Condition, conditions, passes
from secondpass.retrieval.stores.info import StoreInfo
from secondpass.retrieval.stores.ledger import Ledger, Span
from secondpass.retrieval.stores.tables import MAX_IDS, DocumentRow, Found, PassageRow, Tables, best
from secondpass.retrieval.words import ANALYSER_VERSION, terms
from secondpass.types import EncoderRecord, Filter, IndexedDocument, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Answer = TypeVar("Answer")

# A reader tries again where a writer came in between, and gives up after about ten seconds.
READ_TRIES = 100
READ_PAUSE_S = 0.1

# So many numbers are read at a time.
WINDOW = 1000


class TableReader:
    """Reads passages in a vector database. Safe to share by threads, not with a forked child."""

    in_process: ClassVar[bool] = False

    def __init__(self, tables: Tables, file: Path | None = None) -> None:
        self._tables = tables
        self._file = file
        self._closed = False
        self._lock = threading.RLock()

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; ids that are not there are left out."""
        rows = self._read(lambda ledger: self._passages_named(ids, ledger, vectors=False))
        return [rows[id].passage for id in ids if id in rows]

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter; reads the metadata of those that may."""
        wanted = conditions(where)

        def counted(ledger: Ledger) -> int:
            if not wanted:
                return ledger.passages
            if _never(wanted):
                return 0
            spans = Span(0, ledger.end).pieces(10 * WINDOW)
            return sum(
                ledger.shows(row.number) and passes(row.passage.metadata, wanted)
                for span in spans
                for row in self._tables.passages(span, wanted)
            )

        return self._read(counted)

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages.

        A document that is replaced meanwhile comes once, as it was or as it is.
        """
        with self._at_work():
            return self._walk()

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""

        def found(ledger: Ledger) -> dict[str, str | None]:
            rows = self._documents(Span(0, ledger.end), ledger)
            return {row.id: row.path for row in rows}

        return self._read(found)

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """The digest of each of these documents that is there, by id."""
        there = self._read(partial(self._rows_of, documents))
        return {id: row.digest for id, row in there.items()}

    def search_lexical(
        self, query: str, depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, BM25 score), best first; ties by the order of adding."""
        wanted = conditions(where)
        asked = list(dict.fromkeys(terms(query)))

        def found(ledger: Ledger) -> list[tuple[str, float]]:
            if depth < 1 or not asked or not ledger.passages or _never(wanted):
                return []
            fetch = partial(self._matching, asked, wanted)
            rows = best(fetch, partial(_kept, ledger, wanted), depth, self._tables.most)
            return [(row.id, row.score) for row in rows]

        return self._read(found)

    def encoder(self) -> EncoderRecord | None:
        """What made the vectors; None where there are none and documents come without."""
        return self._read(lambda ledger: ledger.encoder)

    def search_dense(
        self, vector: NDArray[np.float32], depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, cosine), best first; ties by the order of adding.

        The database chooses, as exactly as its index does; scores and order are exact.
        """
        wanted = conditions(where)

        def found(ledger: Ledger) -> list[tuple[str, float]]:
            from secondpass.retrieval.vectors import unit_query

            query = unit_query(vector, _record_of(ledger))
            if depth < 1 or not ledger.passages or _never(wanted):
                return []
            fetch = partial(self._nearest, query, wanted)
            rows = best(fetch, partial(_kept, ledger, wanted), depth, self._tables.most)
            return [(row.id, row.score) for row in rows]

        return self._read(found)

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these passages, float32[ids, dimension]; InvalidInput for an unknown id."""

        def found(ledger: Ledger) -> NDArray[np.float32]:
            import numpy as np

            rows = np.empty((len(ids), _record_of(ledger).dimension), dtype=np.float32)
            there = self._passages_named(ids, ledger, vectors=True)
            for at, id in enumerate(ids):
                if id not in there:
                    raise unknown_passage(id)
                rows[at] = there[id].vector
            return rows

        return self._read(found)

    def info(self) -> StoreInfo:
        """Where the store is and how much it holds."""
        ledger = self._read(lambda ledger: ledger)
        size = self._tables.bytes_on_disk()
        counts = (ledger.documents, ledger.passages)
        return StoreInfo(self._file, *counts, size, ledger.layout, ANALYSER_VERSION, ledger.encoder)

    def flush(self) -> None:
        """Return once everything written would survive a loss of power."""
        with self._at_work():
            self._tables.flush()

    def close(self) -> None:
        """Let go of the database; a later call raises StoreError. Closing twice is allowed."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._tables.close()

    def _ledger(self) -> Ledger:
        text = self._tables.load()
        try:
            return Ledger.from_text(text)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"the record of what {self._tables.place} holds is damaged or of another version; "
                "expected one that this version wrote; index the documents again into a new one"
            ) from error

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Errors of the database come out as StoreError, and so does a call after `close`."""
        with self._lock if self._tables.alone else nullcontext():
            if self._closed:
                raise StoreError(
                    f"the index in {self._tables.place} is closed; expected an open one; open it "
                    "again"
                )
            try:
                yield
            except SecondpassError:
                raise
            except self._tables.errors as error:
                raise StoreError(
                    f"{self._tables.place} could not be used; expected the database to answer; see "
                    f"its message ({type(error).__name__}: {error})"
                ) from error

    def _read(self, work: Callable[[Ledger], Answer]) -> Answer:
        for _ in range(READ_TRIES):
            with self._at_work():
                ledger = self._ledger()
                try:
                    answer = work(ledger)
                except KeyError as error:
                    # A row was missing: a writer took it away, or it is lost.
                    if self._ledger() == ledger:
                        raise StoreError(
                            f"row {error} of {self._tables.place} is missing; expected all that was "
                            "written; index the documents again into a new index"
                        ) from error
                    continue
                if self._ledger() == ledger:
                    return answer
            time.sleep(READ_PAUSE_S)
        raise StoreError(
            f"{self._tables.place} changes faster than it can be read; expected a pause between "
            "writes; write larger batches, or read when the writer is done"
        )

    def _walk(self) -> Iterator[IndexedDocument]:
        seen: set[str] = set()
        start, end = 0, 1
        # Numbers only grow, so what moves meanwhile is met further on.
        while start < end:
            found, end = self._read(partial(self._whole, Span(start, start + WINDOW)))
            fresh = [one for one in found if one.id not in seen]
            seen.update(one.id for one in fresh)
            yield from fresh
            start += WINDOW

    def _whole(self, span: Span, ledger: Ledger) -> tuple[list[IndexedDocument], int]:
        """The documents with these numbers, with their passages, and the end of all numbers."""
        rows = self._documents(span, ledger)
        if not rows:
            return [], ledger.end
        pieces = Span(rows[0].number, rows[-1].span.end).pieces(WINDOW)
        found = {
            row.number: row.passage for piece in pieces for row in self._tables.passages(piece)
        }
        documents = [
            IndexedDocument(
                row.id,
                row.digest,
                tuple(found[number] for number in range(row.number + 1, row.span.end)),
            )
            for row in rows
        ]
        return documents, ledger.end

    def _documents(self, span: Span, ledger: Ledger) -> list[DocumentRow]:
        pieces = span.pieces(10 * WINDOW)
        rows = (row for piece in pieces for row in self._tables.documents(piece))
        return [row for row in rows if ledger.shows(row.number)]

    def _rows_of(self, documents: Sequence[str], ledger: Ledger) -> dict[str, DocumentRow]:
        ids = list(dict.fromkeys(documents))
        pieces = [ids[at : at + MAX_IDS] for at in range(0, len(ids), MAX_IDS)]
        rows = (row for piece in pieces for row in self._tables.documents_named(piece))
        there = {row.id: row for row in rows if ledger.shows(row.number)}
        return {id: there[id] for id in ids if id in there}

    def _passages_named(
        self, passages: Sequence[str], ledger: Ledger, *, vectors: bool
    ) -> dict[str, PassageRow]:
        ids = list(dict.fromkeys(passages))
        pieces = [ids[at : at + MAX_IDS] for at in range(0, len(ids), MAX_IDS)]
        rows = (
            row for piece in pieces for row in self._tables.passages_named(piece, vectors=vectors)
        )
        return {row.passage.id: row for row in rows if ledger.shows(row.number)}

    def _matching(
        self, asked: Sequence[str], wanted: Sequence[Condition], limit: int
    ) -> list[Found]:
        return self._tables.matching(asked, limit, wanted)

    def _nearest(
        self, query: NDArray[np.float32], wanted: Sequence[Condition], limit: int
    ) -> list[Found]:
        import numpy as np

        wide = query.astype(np.float64)
        # A sum that is the same wherever the vector stands: equal vectors tie.
        return [
            replace(row, score=float((row.vector.astype(np.float64) * wide).sum()))
            for row in self._tables.nearest(query, limit, wanted)
            if row.vector is not None
        ]


def _never(wanted: Sequence[Condition]) -> bool:
    return any(condition.values == () for condition in wanted)


def _kept(ledger: Ledger, wanted: Sequence[Condition], row: Found) -> bool:
    return ledger.shows(row.number) and passes(row.metadata, wanted)


def _record_of(ledger: Ledger) -> EncoderRecord:
    if ledger.encoder is None:
        raise no_vectors()
    return ledger.encoder
