"""How does a stream of passages become stored documents? In batches that are kept once written.

passages -> documents -> digest known? -> batch -> vectors -> one transaction -> report
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

from secondpass.errors import EngineError
from secondpass.protocols import Encoder, Store
from secondpass.retrieval.documents import digest_of
from secondpass.types import IndexedDocument, Passage

# A transaction costs a wait for the disk, so it should hold much; an interruption loses at most
# one, so it should not hold too much.
BATCH_PASSAGES = 1000
BATCH_SECONDS = 1.0

# An encoder takes longer than the disk, and wants some texts of each length at once.
BATCH_ENCODED = 256


@dataclass(frozen=True, slots=True)
class AddReport:
    """What one call of `Index.add` has done so far.

    `added`, `replaced` and `unchanged` count documents, `passages` those written, `blank` those
    dropped for holding nothing but white space. `duplicates` are the documents that came more than
    once, of which the last one stays; `moved` those that were stored from another path before, so
    that perhaps two files claim one id. Both keep the order of coming.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    passages: int = 0
    blank: int = 0
    duplicates: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()


class Adding:
    """One call of `Index.add`: the documents that wait to be written, and the report."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder | None,
        on_progress: Callable[[AddReport], None] | None,
    ) -> None:
        self.report = AddReport()
        self._store = store
        self._encoder = encoder
        self._batch = BATCH_PASSAGES if encoder is None else min(BATCH_PASSAGES, BATCH_ENCODED)
        self._on_progress = on_progress
        self._seen: set[str] = set()
        self._waiting: dict[str, IndexedDocument] = {}
        self._waiting_passages = 0
        self._blank = 0
        self._started = time.monotonic()

    def take(self, passages: list[Passage]) -> None:
        """Accept all passages of one document; writes when enough have come together."""
        document = passages[0].document
        digest = digest_of(passages)
        if document in self._seen:
            self._note_duplicate(document)
        self._seen.add(document)
        kept = tuple(passage for passage in passages if passage.text.strip())
        if not self._waiting:
            self._started = time.monotonic()
        self._waiting[document] = IndexedDocument(document, digest, kept)
        self._waiting_passages += len(kept)
        self._blank += len(passages) - len(kept)
        late = time.monotonic() - self._started >= BATCH_SECONDS
        if late or self._waiting_passages >= self._batch:
            self.write()

    def write(self) -> None:
        """Store what waits, in one transaction; it waits on only where the user interrupts."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            written = self._store_changed(list(waiting.values()))
        except KeyboardInterrupt:
            self._waiting = waiting
            raise
        self.report = replace(written, blank=self.report.blank + self._blank)
        self._waiting_passages = self._blank = 0
        if self._on_progress is not None:
            self._on_progress(self.report)

    def _note_duplicate(self, document: str) -> None:
        if document in self._waiting:
            self.write()
        if document not in self.report.duplicates:
            duplicates = (*self.report.duplicates, document)
            self.report = replace(self.report, duplicates=duplicates)

    def _store_changed(self, documents: list[IndexedDocument]) -> AddReport:
        known = self._store.digests([document.id for document in documents])
        changed = [one for one in documents if known.get(one.id) != one.digest]
        replaced = [document for document in changed if document.id in known]
        moved = [one.id for one in replaced if self._was_elsewhere(one)]
        if changed:
            self._store.upsert(self._with_vectors(changed))
        report = self.report
        return replace(
            report,
            added=report.added + len(changed) - len(replaced),
            replaced=report.replaced + len(replaced),
            unchanged=report.unchanged + len(documents) - len(changed),
            passages=report.passages + sum(len(document.passages) for document in changed),
            moved=(*report.moved, *(one for one in moved if one not in report.moved)),
        )

    def _with_vectors(self, documents: list[IndexedDocument]) -> list[IndexedDocument]:
        if self._encoder is None:
            return documents
        texts = [passage.text_in_context for one in documents for passage in one.passages]
        vectors = self._encoder.encode_passages(texts)
        if len(vectors) != len(texts):
            raise EngineError(
                f"the encoder gave {len(vectors)} vectors for {len(texts)} passages; expected one "
                "each; mend the encoder"
            )
        ends = accumulate(len(one.passages) for one in documents)
        return [
            replace(one, vectors=vectors[end - len(one.passages) : end])
            for one, end in zip(documents, ends, strict=True)
        ]

    def _was_elsewhere(self, document: IndexedDocument) -> bool:
        # Passages are numbered within their document, so the old ones have ids of the new ones.
        paths = {passage.id: passage.path for passage in document.passages}
        return any(
            old.document == document.id and old.path != paths[old.id]
            for old in self._store.get(list(paths))
        )
