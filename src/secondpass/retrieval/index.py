"""What users hold: a collection of passages that lasts, grows, and can be searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from secondpass.errors import InvalidInput
from secondpass.retrieval.adding import Adding, AddReport
from secondpass.retrieval.documents import by_document
from secondpass.retrieval.lexical import LexicalRetriever
from secondpass.retrieval.stores.info import DescribedStore, StoreInfo
from secondpass.types import Filter, IndexedDocument, Passage


class Index:
    """Passages in a store, added a document at a time. Closing it closes the store."""

    def __init__(self, store: DescribedStore) -> None:
        self._store = store

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True) -> Index:
        """The index in the file at `path`, made where there is none unless `create` is False.

        StoreError where the file is something else, or lies where an index cannot work.
        """
        from secondpass.retrieval.stores.sqlite import SqliteStore

        return cls(SqliteStore.open(path, create=create))

    def add(
        self,
        passages: Iterable[Passage],
        *,
        on_progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Store the documents that these passages make up, and report on them.

        Passages of one document follow one another. A document that is stored already stays as it
        is where nothing changed, and is replaced otherwise, so a call that broke off can be made
        again and goes on. Documents are written a batch at a time, each batch followed by a call
        of `on_progress`. Where the stream fails or the user interrupts, the documents that were
        complete are written before the error goes on.
        """
        adding = Adding(self._store, on_progress)
        try:
            for run in by_document(passages):
                adding.take(run)
            adding.write()
        finally:
            # Nothing waits any more, unless the stream failed or the user interrupted.
            adding.write()
        return adding.report

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents; returns how many of them there were."""
        if isinstance(documents, str):
            raise InvalidInput(f"documents='{documents}' is a single str; pass ['{documents}']")
        return self._store.delete(documents)

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter."""
        return self._store.count(where)

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages."""
        return self._store.documents()

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""
        return self._store.paths()

    def retriever(self, where: Filter | None = None) -> LexicalRetriever:
        """A first stage over the passages that pass the filter; usable until the index closes."""
        return LexicalRetriever(self._store, where)

    def info(self) -> StoreInfo:
        """Where the index is and how much it holds."""
        return self._store.info()

    def close(self) -> None:
        """Release the files; a later call raises StoreError. Closing twice is allowed."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
