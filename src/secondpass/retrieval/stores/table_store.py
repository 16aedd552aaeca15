"""A store in a vector database, whichever it is: documents in its tables, what counts in a ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from secondpass.errors import StoreError
from secondpass.retrieval.documents import (
    check_documents,
    check_no_vectors,
    check_record,
    check_same_encoder,
    passages_without_vectors,
)
from secondpass.retrieval.stores.ledger import Ledger, merged
from secondpass.retrieval.stores.numbering import Change, numbered
from secondpass.retrieval.stores.table_reader import WINDOW, TableReader
from secondpass.retrieval.stores.tables import MAX_IDS, Tables
from secondpass.types import EncoderRecord, IndexedDocument


class TableStore(TableReader):
    """Passages in a vector database. Safe to share by threads, not with a forked child.

    One process writes at a time. A second one that starts before the first is done is noticed
    unless both commit within the same moment, and one of the two gets a StoreError.
    """

    def __init__(self, tables: Tables, file: Path | None = None) -> None:
        super().__init__(tables, file)
        self._arranged = False

    def add(self, documents: Sequence[IndexedDocument]) -> None:
        """Store new documents; one whose id is there already is InvalidInput."""
        self._put(documents, replacing=False)

    def upsert(self, documents: Sequence[IndexedDocument]) -> None:
        """Store documents, each in the place of all that its id had before, as if added now."""
        self._put(documents, replacing=True)

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents and their passages; returns how many of them there were."""
        with self._writing() as ledger:
            there = self._rows_of(documents, ledger)
            if there:
                self._commit(ledger, Change(ledger.end, removed=tuple(there.values())))
            return len(there)

    def record_encoder(self, record: EncoderRecord) -> None:
        """Say what will make the vectors. StoreError where passages or another encoder are there."""
        check_record(record)
        with self._writing() as ledger:
            if ledger.encoder is not None:
                check_same_encoder(ledger.encoder, record)
            elif ledger.passages:
                raise passages_without_vectors(ledger.passages)
            self._save(ledger, replace(ledger, encoder=record))
            self._tables.arrange(record.dimension)

    def _put(self, documents: Sequence[IndexedDocument], *, replacing: bool) -> None:
        check_documents(documents)
        with self._writing() as ledger:
            documents = _with_vectors(documents, ledger.encoder)
            there = self._rows_of([one.id for one in documents], ledger)
            ids = [passage.id for one in documents for passage in one.passages]
            taken = self._passages_named(ids, ledger, vectors=False)
            owners = {id: row.passage.document for id, row in taken.items()}
            change = numbered(documents, ledger.end, there, owners, replacing=replacing)
            if change.documents:
                for at in range(0, max(1, len(change.passages)), MAX_IDS):
                    rows = change.documents if at == 0 else ()
                    self._tables.put(rows, change.passages[at : at + MAX_IDS])
                self._commit(ledger, change)

    def _commit(self, ledger: Ledger, change: Change) -> None:
        """Make a change count, all of it at once; then take away what it replaced."""
        changed = replace(
            ledger,
            end=change.end,
            gone=merged(row.span for row in change.removed),
            removals=ledger.removals + bool(change.removed),
            documents=ledger.documents + len(change.documents) - len(change.removed),
            passages=ledger.passages
            + len(change.passages)
            - sum(row.passages for row in change.removed),
        )
        self._clean(self._save(ledger, changed))

    def _save(self, known: Ledger, changed: Ledger) -> Ledger:
        if self._ledger() != known:
            raise StoreError(
                f"another process wrote to {self._tables.place} at the same time; expected one "
                "writer; nothing of this change is kept, make it again when the other is done"
            )
        changed = replace(changed, writes=known.writes + 1)
        self._tables.save(changed.to_text())
        return changed

    def _clean(self, ledger: Ledger) -> Ledger:
        gone = [number for span in ledger.gone for number in range(span.start, span.end)]
        for at in range(0, len(gone), WINDOW):
            self._tables.drop(gone[at : at + WINDOW])
        # Where another writer was faster, it has done the same, or will.
        if not ledger.gone or self._ledger() != ledger:
            return ledger
        return self._save(ledger, replace(ledger, gone=()))

    @contextmanager
    def _writing(self) -> Iterator[Ledger]:
        """The ledger, once what an earlier writer left behind is gone."""
        with self._lock, self._at_work():
            ledger = self._clean(self._ledger())
            if not self._arranged:
                self._tables.arrange(ledger.encoder.dimension if ledger.encoder else None)
                self._arranged = True
            self._tables.drop_from(ledger.end)
            yield ledger


def _with_vectors(
    documents: Sequence[IndexedDocument], record: EncoderRecord | None
) -> Sequence[IndexedDocument]:
    if record is None:
        check_no_vectors(documents)
        return documents
    from secondpass.retrieval.vectors import with_unit_vectors

    return [with_unit_vectors(document, record) for document in documents]
