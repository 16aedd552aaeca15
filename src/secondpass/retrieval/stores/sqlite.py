"""The embedded store: one SQLite file that many threads and processes may share.

Analysing is done before a transaction begins, so that writers hold the file for a short time.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from secondpass.errors import StoreError
from secondpass.retrieval.bm25 import inverse_frequency, saturation, searched_terms
from secondpass.retrieval.documents import (
    check_documents,
    check_no_vectors,
    check_record,
    check_same_encoder,
    document_exists,
    no_vectors,
    passages_without_vectors,
    unknown_passage,
)
from secondpass.retrieval.filters import Condition, clause, conditions
from secondpass.retrieval.stores import rows
from secondpass.retrieval.stores.connections import Connections
from secondpass.retrieval.stores.frequencies import Frequencies
from secondpass.retrieval.stores.info import StoreInfo
from secondpass.retrieval.stores.postings import Postings, identity
from secondpass.retrieval.stores.schema import (
    bytes_on_disk,
    check_place,
    prepare,
    upgrade,
    version_of,
)
from secondpass.retrieval.words import ANALYSER_VERSION, terms
from secondpass.types import EncoderRecord, Filter, IndexedDocument, Passage

# Postings round lengths, so that a passage may stand some places from where it belongs.
SPARE = 10

# Their passages are scored one by one, which takes a twentieth of a millisecond each.
MOST_SCORED = 2000

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secondpass.retrieval.stores.matrix import Matrix


class SqliteStore:
    """Passages and their words in one SQLite file. Safe to share by threads, and after a fork."""

    in_process: ClassVar[bool] = True

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._frequencies = Frequencies()
        self._matrices: dict[int, Matrix] = {}  # one, once vectors are searched
        self._postings = Postings(connections.file)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True) -> Self:
        """The store in the file at `path`, made with its folders where there is none.

        StoreError where there is none and `create` is False, where the file is something else or
        of a newer version, and on network drives. A file of an older version, which has no vectors,
        is upgraded in place where `create` is True and the file may be written.
        """
        file = Path(path).resolve()
        check_place(file, create=create)
        if create:
            _make_folder(file.parent)
        connections = Connections(file)
        try:
            with connections.lease() as connection:
                prepare(connection, file, create=create)
        except BaseException:
            connections.close()
            raise
        return cls(connections)

    def add(self, documents: Sequence[IndexedDocument]) -> None:
        """Store new documents; one whose id is there already is InvalidInput."""
        check_documents(documents)
        words = [rows.words_of(document) for document in documents]
        documents, record = self._with_vectors(documents)
        with self._connections.writing() as connection:
            _check_record_stayed(connection, record)
            for document, found in zip(documents, words, strict=True):
                if rows.number_of(connection, document.id) is not None:
                    raise document_exists(document.id)
                rows.insert(connection, document, found)

    def upsert(self, documents: Sequence[IndexedDocument]) -> None:
        """Store documents, each in the place of all that its id had before, as if added now."""
        check_documents(documents)
        words = [rows.words_of(document) for document in documents]
        documents, record = self._with_vectors(documents)
        stored = self._stored([document.id for document in documents])
        with self._connections.writing() as connection:
            _check_record_stayed(connection, record)
            for document, found in zip(documents, words, strict=True):
                rows.remove(connection, document.id, stored)
                rows.insert(connection, document, found)

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents and their passages; returns how many of them there were."""
        stored = self._stored(documents)
        with self._connections.writing() as connection:
            return sum(rows.remove(connection, document, stored) for document in documents)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; ids that are not there are left out."""
        with self._connections.reading() as connection:
            found = [rows.passage(connection, passage) for passage in ids]
        return [passage for passage in found if passage is not None]

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter."""
        wanted = conditions(where)
        with self._connections.reading() as connection:
            if not wanted:
                return rows.count(connection, "passages")
            sql, values = clause(wanted, "metadata")
            row = connection.execute(
                f"SELECT count(*) FROM passages WHERE {sql}", values
            ).fetchone()
            return int(row[0])

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages.

        They come as they were when the first was read. Until the last, or until the iterator is
        dropped, the log beside the file keeps what others write.
        """
        self._connections.check_open()
        return self._snapshot()

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""
        with self._connections.reading() as connection:
            return dict(connection.execute(rows.PATHS))

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """The digest of each of these documents that is there, by id."""
        query = "SELECT id, digest FROM documents WHERE id = ?"
        with self._connections.reading() as connection:
            found = [connection.execute(query, (document,)).fetchone() for document in documents]
        return dict(row for row in found if row is not None)

    def search_lexical(
        self, query: str, depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, BM25 score), best first; ties by the order of adding."""
        wanted = conditions(where)
        asked = list(dict.fromkeys(terms(query)))
        with self._connections.reading() as connection:
            passages, frequencies = self._frequencies.of(connection, asked)
            searched = searched_terms(frequencies, passages)
            if not searched or depth < 1:
                return []
            if not wanted and depth <= MOST_SCORED:
                weights = {one: inverse_frequency(passages, frequencies[one]) for one in searched}
                found = _best_by_postings(connection, self._postings, weights, depth)
                if found is not None:
                    return found
            expression = " OR ".join(f'"{term}"' for term in searched)
            return _best(connection, expression, min(depth, passages), wanted)

    def encoder(self) -> EncoderRecord | None:
        """What made the vectors; None where there are none and documents come without."""
        with self._connections.reading() as connection:
            return rows.encoder(connection)

    def record_encoder(self, record: EncoderRecord) -> None:
        """Say what will make the vectors. StoreError where passages or another encoder are there."""
        check_record(record)
        with self._connections.writing() as connection:
            upgrade(connection)
            known = rows.encoder(connection)
            if known is not None:
                check_same_encoder(known, record)
            elif passages := rows.count(connection, "passages"):
                raise passages_without_vectors(passages)
            rows.record_encoder(connection, record)

    def search_dense(
        self, vector: NDArray[np.float32], depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, cosine), best first; ties by the order of adding.

        Exact: compares with every vector. The first call reads them into memory, where they stay
        until the store is dropped; later calls read what others have written since.
        """
        from secondpass.retrieval.stores.matrix import Matrix
        from secondpass.retrieval.vectors import nearest, unit_query

        wanted = conditions(where)
        # Of two threads that come first, one makes it: `setdefault` is a single step.
        matrix = self._matrices.get(0) or self._matrices.setdefault(0, Matrix())
        with self._connections.reading() as connection:
            query = unit_query(vector, record_of(connection))
            blocks, allowed = matrix.select(connection, wanted)
            found = nearest(blocks, query, depth, allowed)
            return [(rows.passage_id(connection, number), score) for number, score in found]

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these passages, float32[ids, dimension]; InvalidInput for an unknown id."""
        import numpy as np

        with self._connections.reading() as connection:
            dimension = record_of(connection).dimension
            found = np.empty((len(ids), dimension), dtype=np.float32)
            for at, passage in enumerate(ids):
                blob = rows.vector(connection, passage)
                if blob is None:
                    raise unknown_passage(passage)
                found[at] = np.frombuffer(blob, dtype="<f4")
        return found

    def info(self) -> StoreInfo:
        """Where the store is and how much it holds."""
        file = self._connections.file
        with self._connections.reading() as connection:
            documents = rows.count(connection, "documents")
            passages = rows.count(connection, "passages")
            version, encoder = version_of(connection), rows.encoder(connection)
        size = bytes_on_disk(file) + self._postings.bytes_on_disk()
        return StoreInfo(file, documents, passages, size, version, ANALYSER_VERSION, encoder)

    def flush(self) -> None:
        """Bring the postings beside a large file up to it; the file itself is on the disk already."""
        self._connections.check_open()
        with self._connections.reading() as connection:
            wanted = self._postings.wanted(rows.count(connection, "passages"))
            named = identity(connection) != 0
        if wanted and not named:
            with self._connections.writing() as connection:
                connection.execute(rows.IDENTIFY)
        if wanted:
            with self._connections.reading() as connection:
                self._postings.write(connection)

    def close(self) -> None:
        """Release files, connections and vectors; a later call raises StoreError. Twice is allowed."""
        self._connections.close()
        self._matrices.clear()

    def _with_vectors(
        self, documents: Sequence[IndexedDocument]
    ) -> tuple[Sequence[IndexedDocument], EncoderRecord | None]:
        """The documents with their vectors as they are stored, and what the store expects of them."""
        record = self.encoder()
        if record is None:
            check_no_vectors(documents)
            return documents, None
        from secondpass.retrieval.vectors import with_unit_vectors

        return [with_unit_vectors(document, record) for document in documents], record

    def _stored(self, documents: Sequence[str]) -> dict[str, rows.Stored]:
        with self._connections.reading() as connection:
            numbers = {document: rows.number_of(connection, document) for document in documents}
            return {
                document: rows.stored(connection, number)
                for document, number in numbers.items()
                if number is not None
            }

    def _snapshot(self) -> Iterator[IndexedDocument]:
        with self._connections.reading() as connection:
            found = connection.execute("SELECT number, id, digest FROM documents ORDER BY number")
            for row in found:
                yield rows.document(connection, *row)


def record_of(connection: sqlite3.Connection) -> EncoderRecord:
    """What made the vectors of the file; StoreError where it has none."""
    record = rows.encoder(connection)
    if record is None:
        raise no_vectors()
    return record


def _check_record_stayed(connection: sqlite3.Connection, checked: EncoderRecord | None) -> None:
    # Another writer may have recorded an encoder since the documents were checked.
    if checked is None and (record := rows.encoder(connection)) is not None:
        raise StoreError(
            f"another process has just recorded encoder '{record.name}'; expected documents with "
            "its vectors; open the index again with that encoder"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder '{folder}' cannot be made: {error.strerror}; expected a path that can be "
            "written; choose another one"
        ) from error


def _best_by_postings(
    connection: sqlite3.Connection, postings: Postings, weights: Mapping[str, float], depth: int
) -> list[tuple[str, float]] | None:
    """What `_best` finds without a filter; None where the postings are of no use."""
    enough = limit = depth + depth // 4 + SPARE
    while (numbers := postings.best(connection, weights, limit)) is not None:
        found = _scored(connection, numbers, weights)
        # Postings keep what is gone for a while; there may be much of it among the best.
        if len(found) >= enough or len(numbers) < limit:
            return found[:depth]
        limit *= 4
    return None


def _scored(
    connection: sqlite3.Connection, numbers: Sequence[int], weights: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Those passages that are still there with their BM25 scores, best first; as `_best` scores."""
    mean = rows.mean_words(connection)
    found = []
    for number in numbers:
        passage = rows.numbered(connection, number)
        if passage is not None:
            words = terms(passage.text_in_context)
            there = Counter(words)
            # In FTS5's order, so that both round alike and ties stay ties.
            score = 0.0
            for term, weight in weights.items():
                score += weight * saturation(there[term], len(words), mean)
            found.append((-score, number, passage.id))
    return [(id, -negative) for negative, _, id in sorted(found)]


def _best(
    connection: sqlite3.Connection, expression: str, depth: int, wanted: Sequence[Condition]
) -> list[tuple[str, float]]:
    sql, values = clause(wanted, "filtered.metadata")
    # CROSS JOIN fixes the order: the full-text matches first, then their metadata.
    filtered = "CROSS JOIN passages AS filtered ON filtered.number = words.rowid" if wanted else ""
    return connection.execute(
        "SELECT passages.id, -best.score FROM ("
        f"SELECT words.rowid AS number, bm25(words) AS score FROM words {filtered} "
        f"WHERE words MATCH ? AND {sql} ORDER BY score, number LIMIT ?"
        ") AS best JOIN passages ON passages.number = best.number ORDER BY best.score, best.number",
        (expression, *values, depth),
    ).fetchall()
