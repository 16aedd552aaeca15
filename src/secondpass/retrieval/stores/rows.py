"""Documents as rows: what reads and writes them inside a transaction that someone else holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.retrieval.documents import passage_exists
from secondpass.retrieval.stores.schema import version_of
from secondpass.retrieval.words import terms
from secondpass.types import EncoderRecord, IndexedDocument, Passage

# The columns are a Passage's fields in their order.
_PASSAGES = """
SELECT passages.id, text, documents.id, start, "end", title, path, page, headings, metadata
FROM passages JOIN documents ON documents.number = passages.document
"""

_INSERT = """
INSERT INTO passages
    (id, text, document, start, "end", title, path, page, headings, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""

# All passages of a document have one path, so any of them serves.
PATHS = """
SELECT documents.id, (SELECT path FROM passages WHERE document = documents.number LIMIT 1)
FROM documents ORDER BY documents.number
"""

# A number that tells this file from another that is put in its place.
IDENTIFY = "INSERT OR IGNORE INTO facts VALUES ('identity', random())"


@dataclass(frozen=True, slots=True)
class Stored:
    """What must go when a document goes: its number, and the words by passage number.

    A number names one version of a document: a new version gets a new one.
    """

    number: int
    words: list[tuple[int, str]]


def words_of(document: IndexedDocument) -> list[str]:
    """What the full-text table gets for each passage, and is told again in order to forget it."""
    return [" ".join(terms(passage.text_in_context)) for passage in document.passages]


def number_of(connection: sqlite3.Connection, document: str) -> int | None:
    """The number of the document with this id, None where there is none."""
    row = connection.execute("SELECT number FROM documents WHERE id = ?", (document,)).fetchone()
    return None if row is None else row[0]


def count(connection: sqlite3.Connection, table: str) -> int:
    """How many rows a table has."""
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def passage(connection: sqlite3.Connection, id: str) -> Passage | None:
    """The passage with this id, None where there is none."""
    row = connection.execute(f"{_PASSAGES} WHERE passages.id = ?", (id,)).fetchone()
    return None if row is None else _passage(row)


def last_number(connection: sqlite3.Connection) -> int:
    """The highest number that a passage ever had; 0 where there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'passages'").fetchone()
    return 0 if row is None else int(row[0])


def words_after(connection: sqlite3.Connection, number: int) -> Iterator[tuple[int, str]]:
    """Number and words of the passages with higher numbers, ascending."""
    found = connection.execute(
        f"SELECT passages.number, found.* FROM ({_PASSAGES}) AS found JOIN passages USING (id) "
        "WHERE passages.number > ? ORDER BY passages.number",
        (number,),
    )
    for passage_number, *row in found:
        yield passage_number, " ".join(terms(_passage(row).text_in_context))


def numbered(connection: sqlite3.Connection, number: int) -> Passage | None:
    """The passage with this number, None where it is gone."""
    row = connection.execute(f"{_PASSAGES} WHERE passages.number = ?", (number,)).fetchone()
    return None if row is None else _passage(row)


def mean_words(connection: sqlite3.Connection) -> float:
    """How many words a passage has, in the mean, as FTS5 keeps it: two varints, rows and words."""
    (block,) = connection.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
    values = [0]
    for byte in block:
        values[-1] = values[-1] << 7 | byte & 0x7F
        if byte < 0x80:
            values.append(0)
    passages, words, *_ = values
    return words / passages


def document(connection: sqlite3.Connection, number: int, id: str, digest: str) -> IndexedDocument:
    """The document with this number, whose id and digest the caller has, with its passages."""
    found = connection.execute(
        f"{_PASSAGES} WHERE passages.document = ? ORDER BY passages.number", (number,)
    )
    return IndexedDocument(id, digest, tuple(_passage(row) for row in found))


def passage_id(connection: sqlite3.Connection, number: int) -> str:
    """The id of the passage with this number, which must be there."""
    row = connection.execute("SELECT id FROM passages WHERE number = ?", (number,)).fetchone()
    return str(row[0])


def vector(connection: sqlite3.Connection, id: str) -> bytes | None:
    """The vector of the passage with this id, None where there is none."""
    row = connection.execute(
        "SELECT vector FROM passages JOIN vectors USING (number) WHERE id = ?", (id,)
    ).fetchone()
    return None if row is None else row[0]


def encoder(connection: sqlite3.Connection) -> EncoderRecord | None:
    """What made the vectors; None where there are none."""
    if version_of(connection) < 2:
        return None
    row = connection.execute("SELECT name, fingerprint, dimension FROM encoder").fetchone()
    return None if row is None else EncoderRecord(*row)


def record_encoder(connection: sqlite3.Connection, record: EncoderRecord) -> None:
    """Write what makes the vectors, in the place of what was said before."""
    connection.execute("DELETE FROM encoder")
    connection.execute(
        "INSERT INTO encoder VALUES (?, ?, ?)", (record.name, record.fingerprint, record.dimension)
    )


def stored(connection: sqlite3.Connection, number: int) -> Stored:
    """What must go when the document with this number goes."""
    numbers = connection.execute(
        "SELECT number FROM passages WHERE document = ? ORDER BY number", (number,)
    ).fetchall()
    words = words_of(document(connection, number, "", ""))
    return Stored(number, [(row[0], found) for row, found in zip(numbers, words, strict=True)])


def insert(connection: sqlite3.Connection, document: IndexedDocument, words: Sequence[str]) -> None:
    """Write a document that is not there, with the words of its passages and its vectors.

    A passage id that another passage has is InvalidInput.
    """
    number = connection.execute(
        "INSERT INTO documents (id, digest) VALUES (?, ?)", (document.id, document.digest)
    ).lastrowid
    assert number is not None
    numbers = []
    for passage, found in zip(document.passages, words, strict=True):
        row = connection.execute(_INSERT, _values(passage, number))
        if row.rowcount == 0:
            raise passage_exists(passage.id)
        connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (row.lastrowid, found))
        numbers.append(row.lastrowid)
    if document.vectors is not None:
        blobs = (vector.astype("<f4").tobytes() for vector in document.vectors)
        connection.executemany(
            "INSERT INTO vectors VALUES (?, ?)", zip(numbers, blobs, strict=True)
        )


def remove(connection: sqlite3.Connection, id: str, prepared: Mapping[str, Stored]) -> bool:
    """Take a document out; False where it is not there.

    `prepared` has by id what was read before the transaction began.
    """
    number = number_of(connection, id)
    if number is None:
        return False
    known = prepared.get(id)
    # Another writer may have replaced the document since.
    gone = known if known and known.number == number else stored(connection, number)
    connection.executemany(
        "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)", gone.words
    )
    connection.execute("DELETE FROM passages WHERE document = ?", (number,))
    connection.execute("DELETE FROM documents WHERE number = ?", (number,))
    return True


def _values(passage: Passage, document: int) -> tuple[str | int | None, ...]:
    return (
        passage.id,
        passage.text,
        document,
        passage.start,
        passage.end,
        passage.title,
        passage.path,
        passage.page,
        json.dumps(list(passage.headings), ensure_ascii=False),
        json.dumps(dict(passage.metadata), ensure_ascii=False),
    )


def _passage(row: Sequence[Any]) -> Passage:
    *fields, headings, metadata = row
    values = (*fields, tuple(json.loads(headings)), json.loads(metadata))
    return Passage(*values)
