"""Moving an index: everything that one store holds, copied into another and compared there.

documents -> digest there? -> vectors -> a batch a transaction -> counts, checksums, vectors equal?
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from secondpass.errors import StoreError
from secondpass.protocols import Store
from secondpass.retrieval.documents import digest_of
from secondpass.types import IndexedDocument

BATCH_PASSAGES = 1000

# Stores may bring vectors to length 1 anew; in float32 that changes the last digits.
VECTOR_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Migration:
    """What `migrate` has seen so far: documents of the source, and how many of them it copied.

    The others were there already, from a call that broke off. `checksum` is that of both stores, 32
    hexadecimal digits, once they have been compared; it does not depend on the order of documents.
    """

    documents: int = 0
    passages: int = 0
    copied: int = 0
    checksum: str = ""


def migrate(
    source: Store, target: Store, on_progress: Callable[[Migration], None] | None = None
) -> Migration:
    """Copy what `source` holds into `target`, with vectors and their encoder, then compare both.

    What is there already with the same digest is not copied again, so that a call that broke off can
    be made again and goes on. StoreError where the target holds other documents or another encoder's
    vectors, and where it does not hold the same in the end.
    """
    _check_target(source, target)
    seen, total = Migration(), 0
    for batch in _batches(source.documents()):
        known = target.digests([one.id for one in batch])
        missing = [one for one in batch if known.get(one.id) != one.digest]
        if missing:
            target.upsert(_with_vectors(source, missing))
        total += sum(_checksum(one) for one in batch)
        seen = replace(
            seen,
            documents=seen.documents + len(batch),
            passages=seen.passages + sum(len(one.passages) for one in batch),
            copied=seen.copied + len(missing),
        )
        if on_progress is not None:
            on_progress(seen)
    target.flush()
    return replace(seen, checksum=_compared(source, target, seen, _shown(total)))


def _check_target(source: Store, target: Store) -> None:
    record, other = source.encoder(), target.encoder()
    known = source.paths()
    strangers = [id for id in target.paths() if id not in known]
    if strangers:
        raise StoreError(
            f"the target holds {len(strangers)} documents that the source does not, '{strangers[0]}' "
            "first; expected a new index or one from a migration that broke off; choose another"
        )
    if record is not None:
        target.record_encoder(record)
    elif other is not None:
        raise StoreError(
            f"the target keeps vectors of encoder '{other.name}' and the source has none; expected "
            "both alike; choose a new target"
        )


def _batches(documents: Iterable[IndexedDocument]) -> Iterator[list[IndexedDocument]]:
    batch: list[IndexedDocument] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.passages) + 1
        if size >= BATCH_PASSAGES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _with_vectors(source: Store, documents: list[IndexedDocument]) -> list[IndexedDocument]:
    if source.encoder() is None:
        return documents
    ids = [[passage.id for passage in one.passages] for one in documents]
    return [
        replace(one, vectors=source.vectors(passages)) if passages else one
        for one, passages in zip(documents, ids, strict=True)
    ]


def _compared(source: Store, target: Store, seen: Migration, checksum: str) -> str:
    """The checksum of what the target holds, which is that of what the source gave."""
    documents = passages = total = 0
    has_vectors = source.encoder() is not None
    for batch in _batches(target.documents()):
        documents += len(batch)
        passages += sum(len(one.passages) for one in batch)
        total += sum(_checksum(one) for one in batch)
        if has_vectors:
            _compare_vectors(source, target, batch)
    found = (documents, passages, _shown(total))
    if found != (seen.documents, seen.passages, checksum):
        raise StoreError(
            f"the target holds {documents} documents, {passages} passages, checksum {found[2]}, and "
            f"the source gave {seen.documents}, {seen.passages}, {checksum}; expected the same; "
            "migrate again, with nobody writing to either"
        )
    return checksum


def _compare_vectors(source: Store, target: Store, batch: list[IndexedDocument]) -> None:
    import numpy as np

    ids = [passage.id for one in batch for passage in one.passages]
    apart = np.abs(source.vectors(ids) - target.vectors(ids)) > VECTOR_TOLERANCE
    wrong = np.flatnonzero(apart.any(axis=1))
    if wrong.size:
        raise StoreError(
            f"the vector of passage '{ids[wrong[0]]}' differs between the stores by more than "
            f"{VECTOR_TOLERANCE:g}, and {wrong.size - 1} more do; expected the same; migrate into a "
            "new target"
        )


def _checksum(document: IndexedDocument) -> int:
    digest = hashlib.blake2b(digest_size=16)
    for part in (document.id, document.digest, digest_of(document.passages)):
        digest.update(part.encode() + b"\0")
    return int.from_bytes(digest.digest(), "big")


def _shown(total: int) -> str:
    return f"{total % 2**128:032x}"
