"""What makes a document fit to be stored? Grouping of a stream of passages, digests, checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval.filters import check_field, check_scalar, check_text
from secondpass.types import EncoderRecord, IndexedDocument, Passage


def by_document(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Runs of neighbours that belong to one document.

    Where the path changes or a passage id comes again, the document itself has come again: that is
    another run. A run comes out once the stream has moved on or ended, so where the stream fails,
    the run that it was in never comes.
    """
    run: dict[str, Passage] = {}
    last: Passage | None = None
    for passage in passages:
        if not isinstance(passage, Passage):
            raise InvalidInput(
                f"got a {type(passage).__name__} to add; expected passages; make them of documents "
                "with split(documents)"
            )
        if last is not None and (
            (passage.document, passage.path) != (last.document, last.path) or passage.id in run
        ):
            yield list(run.values())
            run = {}
        run[passage.id] = last = passage
    if run:
        yield list(run.values())


def digest_of(passages: Sequence[Passage]) -> str:
    """A digest, 32 hexadecimal digits, that changes with anything in these passages."""
    digest = hashlib.blake2b(digest_size=16)
    for passage in passages:
        check_passage(passage)
        line = json.dumps(
            [
                [passage.id, passage.text, passage.document, passage.title, passage.path],
                [passage.start, passage.end, passage.page, list(passage.headings)],
                dict(passage.metadata),
            ],
            ensure_ascii=False,
            sort_keys=True,
        )
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def check_passage(passage: Passage) -> None:
    """Raise InvalidInput, naming the passage, where a part of it cannot be stored."""
    check_text(passage.id, "a passage id")
    check_text(passage.document, f"the document id of passage '{passage.id}'")
    whose = f"of passage '{passage.id}'"
    check_text(passage.text, f"the text {whose}")
    check_text(passage.title, f"the title {whose}")
    check_text(passage.path or "", f"the path {whose}")
    for heading in passage.headings:
        check_text(heading, f"a heading {whose}")
    for field, value in passage.metadata.items():
        check_field(field, f"a metadata field's name {whose}")
        check_scalar(value, f"metadata field '{field}' {whose}")


def check_documents(documents: Sequence[IndexedDocument]) -> None:
    """Raise InvalidInput where a document cannot be stored, or holds another's passages."""
    for document in documents:
        check_text(document.id, "a document id")
        for passage in document.passages:
            check_passage(passage)
            if passage.document != document.id:
                raise InvalidInput(
                    f"passage '{passage.id}' names document '{passage.document}' but came with "
                    f"'{document.id}'; expected one document's passages; group them by document"
                )


def document_exists(document: str) -> InvalidInput:
    """The error for adding a document that is there already."""
    return InvalidInput(
        f"document '{document}' is stored already; expected a new id; use upsert to replace it"
    )


def passage_exists(passage: str) -> InvalidInput:
    """The error for a passage id that two passages claim."""
    return InvalidInput(
        f"passage id '{passage}' is taken by another passage; expected an id of its own; put the "
        "document's id into it"
    )


def check_no_vectors(documents: Sequence[IndexedDocument]) -> None:
    """Raise InvalidInput for a document with vectors: what made them is not recorded."""
    for document in documents:
        if document.vectors is not None:
            raise InvalidInput(
                f"document '{document.id}' comes with vectors, but the store has recorded no "
                "encoder; expected none; call record_encoder before the first document"
            )


def check_record(record: EncoderRecord) -> None:
    """Raise InvalidInput where an encoder's name, fingerprint or dimension cannot be kept."""
    check_text(record.name, "an encoder's name")
    check_text(record.fingerprint, "an encoder's fingerprint")
    if not record.fingerprint or record.dimension < 1:
        raise InvalidInput(
            f"encoder '{record.name}' has fingerprint '{record.fingerprint}' and dimension "
            f"{record.dimension}; expected a fingerprint and at least 1; give what it states"
        )


def check_same_encoder(known: EncoderRecord, other: EncoderRecord) -> None:
    """Raise StoreError unless both make vectors that can be compared; names may differ."""
    if (known.fingerprint, known.dimension) != (other.fingerprint, other.dimension):
        raise StoreError(
            f"encoder '{other.name}' (fingerprint {other.fingerprint}, dimension {other.dimension})"
            f" did not make this index's vectors; expected '{known.name}' (fingerprint "
            f"{known.fingerprint}, dimension {known.dimension}); use that one, or index the "
            "documents again into a new index"
        )


def passages_without_vectors(passages: int) -> StoreError:
    """The error for recording an encoder where passages are there already."""
    return StoreError(
        f"the index holds {passages} passages without vectors; expected none, for an encoder must "
        "see all of them; index the documents again into a new index, with the encoder"
    )


def no_vectors() -> StoreError:
    """The error for asking for vectors where there are none."""
    return StoreError(
        "the index has no vectors; expected one made with an encoder; index the documents again "
        "into a new index, with an encoder"
    )


def unknown_passage(passage: str) -> InvalidInput:
    """The error for the vector of a passage that is not there."""
    return InvalidInput(
        f"there is no passage '{passage}'; expected ids of stored passages; take them from a search"
    )
