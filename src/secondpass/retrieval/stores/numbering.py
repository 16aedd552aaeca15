"""Which rows does a write make, which does it take away? Decided before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.retrieval.documents import document_exists, passage_exists
from secondpass.retrieval.stores.tables import DocumentRow, PassageRow
from secondpass.types import IndexedDocument


@dataclass(frozen=True, slots=True)
class Change:
    """The rows that come, the documents that go, and the end of the numbers used by then."""

    end: int
    documents: tuple[DocumentRow, ...] = ()
    passages: tuple[PassageRow, ...] = ()
    removed: tuple[DocumentRow, ...] = ()


def numbered(
    documents: Sequence[IndexedDocument],
    end: int,
    there: Mapping[str, DocumentRow],
    owners: Mapping[str, str],
    *,
    replacing: bool,
) -> Change:
    """The change that these documents make, their numbers beginning at `end`.

    `there` are the stored documents of the same ids, `owners` the documents that have passages of
    the same ids. InvalidInput for a document that is there unless `replacing`, and for a passage id
    that another passage has. Of two documents with one id the last stays.
    """
    latest: dict[str, IndexedDocument] = {}
    for document in documents:
        if not replacing and (document.id in there or document.id in latest):
            raise document_exists(document.id)
        latest.pop(document.id, None)
        latest[document.id] = document
    _check_passages(list(latest.values()), owners)
    rows, passages = [], []
    for document in latest.values():
        path = document.passages[0].path if document.passages else None
        row = DocumentRow(end, document.id, document.digest, path, len(document.passages))
        rows.append(row)
        for at, passage in enumerate(document.passages):
            vector = None if document.vectors is None else document.vectors[at]
            passages.append(PassageRow(end + 1 + at, passage, vector))
        end = row.span.end
    return Change(end, tuple(rows), tuple(passages), tuple(there.values()))


def _check_passages(documents: Sequence[IndexedDocument], owners: Mapping[str, str]) -> None:
    replaced = {document.id for document in documents}
    seen: set[str] = set()
    for document in documents:
        for passage in document.passages:
            if passage.id in seen or owners.get(passage.id, document.id) not in replaced:
                raise passage_exists(passage.id)
            seen.add(passage.id)
