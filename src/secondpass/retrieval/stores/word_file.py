"""The lexical leg of a database that has none: our own words, in an SQLite file or in memory.

It holds nothing that the database does not: it is made of the passages there, and kept true to them
before each search.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from itertools import chain

from secondpass.retrieval.bm25 import searched_terms
from secondpass.retrieval.filters import Condition, clause
from secondpass.retrieval.stores.frequencies import Frequencies
from secondpass.retrieval.stores.ledger import Ledger, Span
from secondpass.retrieval.stores.tables import Found, Tables
from secondpass.retrieval.words import ANALYSER_VERSION, terms

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passages (number INTEGER PRIMARY KEY, id TEXT, metadata TEXT);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (terms, tokenize = 'ascii');
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab (words, row);
"""

_FIND = """
SELECT passages.number, passages.id, passages.metadata, -bm25(words) AS score
FROM words CROSS JOIN passages ON passages.number = words.rowid
WHERE words MATCH ? AND {clause} ORDER BY score DESC, passages.number LIMIT ?
"""

_WINDOW = 1000


class WordFile:
    """The words of a database's passages. `path` is a file's, or ':memory:'.

    `source` names what they were read from: words of another source are read anew.
    """

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._source = f"{source} {ANALYSER_VERSION}"
        self._frequencies = Frequencies()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def matching(
        self, tables: Tables, asked: Sequence[str], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` of the passages that pass, by BM25, ties by number."""
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            connection = self._connection
            self._follow(connection, tables)
            passages, frequencies = self._frequencies.of(connection, asked)
            searched = searched_terms(frequencies, passages)
            if not searched:
                return []
            sql, values = clause(wanted, "passages.metadata")
            expression = " OR ".join(f'"{term}"' for term in searched)
            query = _FIND.format(clause=sql)
            rows = connection.execute(query, (expression, *values, limit)).fetchall()
        return [
            Found(number, id, json.loads(metadata), score) for number, id, metadata, score in rows
        ]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # what is lost is read again
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _follow(self, connection: sqlite3.Connection, tables: Tables) -> None:
        """Read what came since the last search, and forget what went."""
        ledger = Ledger.from_text(tables.load())
        if _state(connection) == (self._source, ledger.writes):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._catch_up(connection, tables, ledger)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _catch_up(self, connection: sqlite3.Connection, tables: Tables, ledger: Ledger) -> None:
        source, writes = _state(connection)
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        if source != self._source or not isinstance(writes, int) or writes > ledger.writes:
            connection.execute("DELETE FROM words")
            connection.execute("DELETE FROM passages")
            facts = {}
        if facts and facts["removals"] != ledger.removals:
            _forget(connection, tables, ledger)
        for piece in Span(facts.get("end", 0), ledger.end).pieces(_WINDOW):
            for row in tables.passages(piece):
                if ledger.shows(row.number):
                    found = " ".join(terms(row.passage.text_in_context))
                    metadata = json.dumps(dict(row.passage.metadata), ensure_ascii=False)
                    values = (row.number, row.passage.id, metadata)
                    connection.execute("INSERT INTO passages VALUES (?, ?, ?)", values)
                    words = (row.number, found)
                    connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", words)
        known = {
            "source": self._source,
            "generation": ledger.writes,
            "end": ledger.end,
            "removals": ledger.removals,
        }
        connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", known.items())


def _state(connection: sqlite3.Connection) -> tuple[object, object]:
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    return facts.get("source"), facts.get("generation")


def _forget(connection: sqlite3.Connection, tables: Tables, ledger: Ledger) -> None:
    pieces = Span(0, ledger.end).pieces(10 * _WINDOW)
    rows = chain.from_iterable(tables.documents(piece) for piece in pieces)
    there = {
        number
        for row in rows
        if ledger.shows(row.number)
        for number in range(row.number + 1, row.span.end)
    }
    known = connection.execute("SELECT number FROM passages").fetchall()
    gone = [number for number in known if number[0] not in there]
    connection.executemany("DELETE FROM passages WHERE number = ?", gone)
    connection.executemany("DELETE FROM words WHERE rowid = ?", gone)
