"""How an index lies in an SQLite file, and how to know one: header, tables, versions."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from secondpass.errors import StoreError
from secondpass.retrieval.stores.mounts import is_network, type_at
from secondpass.retrieval.words import ANALYSER_VERSION

# The four letters 'sp2r' in the file's header say whose file it is.
APPLICATION_ID = int.from_bytes(b"sp2r", "big")
SCHEMA_VERSION = 2

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100

# Numbers are never used again: a document's number names one version of it, and entries that a
# removal missed in `words` can never point at a newer passage.
#
# `words` holds the terms of our own analyser, joined by blanks. The `ascii` tokenizer splits at
# ASCII signs alone, which no term holds; `unicode61` would go by Unicode tables of its own and drop
# or split what is newer than they are.
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('analyser', {ANALYSER_VERSION}), ('generation', 0);
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL
);
CREATE TABLE passages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, path TEXT, title TEXT NOT NULL,
    headings TEXT NOT NULL, metadata TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX passages_of_document ON passages (document);
CREATE VIRTUAL TABLE words USING fts5 (terms, content = '', detail = full, tokenize = 'ascii');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
PRAGMA application_id = {APPLICATION_ID};
"""

# What version 2 has more. Vectors are float32, little-endian, by the number of their passage, and
# `removals` tells a process that holds them in memory whether any of them is gone. The trigger works
# for a process too that opened the file as version 1 and knows of no vectors.
_VECTORS = f"""
CREATE TABLE encoder (name TEXT NOT NULL, fingerprint TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE vectors (number INTEGER PRIMARY KEY, vector BLOB NOT NULL);
INSERT INTO facts VALUES ('removals', 0);
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
DELETE FROM vectors WHERE number = old.number ; UPDATE facts SET value = value + 1 WHERE name = 'removals' ; END;
PRAGMA user_version = {SCHEMA_VERSION};
"""


def check_place(file: Path, *, create: bool) -> None:
    """Raise StoreError unless `file` is an index, or can become one and `create` is set.

    Reads the header and nothing else, so a file of someone else's is left as it is.
    """
    _check_file_system(file)
    try:
        header = _read_header(file)
    except FileNotFoundError as error:
        if not create:
            raise _missing(file) from error
        return
    except OSError as error:
        raise StoreError(
            f"'{file}' cannot be read: {error.strerror}; expected a path that can be read and "
            "written; check the path and its permissions"
        ) from error
    if header:
        _check_header(file, header)
    elif not create:
        raise _missing(file)


def _read_header(file: Path) -> bytes:
    if file.is_dir():
        raise StoreError(
            f"'{file}' is a folder; expected the path of an index file; name a file in it, "
            f"'{file / 'index.db'}' say"
        )
    if file.exists() and not file.is_file():
        raise StoreError(
            f"'{file}' is a device or a pipe; expected the path of an index file; choose another"
        )
    with file.open("rb") as stream:
        return stream.read(_HEADER_BYTES)


def _check_header(file: Path, header: bytes) -> None:
    if not header.startswith(_MAGIC):
        raise StoreError(
            f"'{file}' is not an index: no SQLite file; expected an index or a path that is free; "
            "choose another path"
        )
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(
            f"'{file}' is not an index: an SQLite file of another application; expected an index "
            "or a path that is free; choose another path"
        )
    _check_schema_version(file, int.from_bytes(header[60:64], "big"))


def _check_schema_version(file: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"'{file}' has schema version {version}; expected at most {SCHEMA_VERSION}; a newer "
            "secondpass wrote it, upgrade to that one"
        )


def _check_file_system(file: Path) -> None:
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return
    file_system = type_at(file, mounts.read_text(errors="replace"))
    if is_network(file_system):
        raise StoreError(
            f"'{file}' is on a network drive ({file_system}); expected a local disk, since the "
            "write-ahead log needs memory shared by all processes; put the index on a local disk"
        )


def _missing(file: Path) -> StoreError:
    return StoreError(
        f"there is no index at '{file}'; expected an index file; make one with "
        "`secondpass index`, or with Index.open(path) and add"
    )


def prepare(connection: sqlite3.Connection, file: Path, *, create: bool) -> None:
    """Check the versions of an index, or lay out an empty file as one, in one transaction."""
    if not _is_laid_out(connection, file):
        if not create:
            raise _missing(file)
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have laid the file out while this one waited for its turn.
            if not _is_laid_out(connection, file):
                for statement in (_SCHEMA + _VECTORS).split(";\n"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    _check_analyser(connection, file)
    if create and os.access(file, os.W_OK):
        _upgrade_in_place(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"'{file}' cannot have a write-ahead log (journal mode '{mode}'); expected a disk with "
            "shared memory; put the index on a local disk"
        )


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of the file as it is now: another process may upgrade it."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring an older file to this version, inside a transaction that someone else holds."""
    if version_of(connection) < SCHEMA_VERSION:
        for statement in _VECTORS.split(";\n"):
            connection.execute(statement)


def _upgrade_in_place(connection: sqlite3.Connection) -> None:
    if version_of(connection) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        upgrade(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_laid_out(connection: sqlite3.Connection, file: Path) -> bool:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    _check_schema_version(file, version_of(connection))
    return bool(application == APPLICATION_ID)


def _check_analyser(connection: sqlite3.Connection, file: Path) -> None:
    (version,) = connection.execute("SELECT value FROM facts WHERE name = 'analyser'").fetchone()
    if version != ANALYSER_VERSION:
        raise StoreError(
            f"the words of '{file}' were found by analyser version {version}; expected version "
            f"{ANALYSER_VERSION}, as for queries; index the documents again into a new file"
        )


def bytes_on_disk(file: Path) -> int:
    """The size of the index file and of the log beside it."""
    log = file.with_name(file.name + "-wal")
    return file.stat().st_size + (log.stat().st_size if log.exists() else 0)
