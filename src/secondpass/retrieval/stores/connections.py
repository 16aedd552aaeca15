"""Who talks to the SQLite file when: a pool of connections, transactions, and what errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondpass.errors import StoreError

BUSY_TIMEOUT_S = 10.0

# SQLite's connections must not be used, or even closed, in a child of the process that made them.
# The child keeps them here, where nothing collects them.
_inherited: list[list[sqlite3.Connection]] = []


class Connections:
    """Connections to one file; a thread has one to itself while it reads or writes.

    Free ones wait for the next thread, so there are as many as were ever at work at once. A child
    process finds none and opens its own.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._closed = False
        self._identity: tuple[int, int] | None = None
        self._begin_process()

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self._free: list[sqlite3.Connection] = []
        # A lock too may be held by a thread that the child does not have.
        self._lock = threading.Lock()
        self._writer = threading.Lock()

    @contextmanager
    def lease(self) -> Iterator[sqlite3.Connection]:
        """A connection outside of any transaction; SQLite's errors come out as StoreError."""
        connection = self._take()
        try:
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error, self.file) from error
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is now until the block ends."""
        with self.lease() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The one connection that may write: the block happens as a whole, or not at all.

        StoreError where another process writes for longer than `BUSY_TIMEOUT_S`.
        """
        # Threads queue here: SQLite's own waiting is by polling, where one thread can starve.
        self._notice_fork()
        with self._writer, self.lease() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'generation'")
            connection.execute("COMMIT")

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def check_open(self) -> None:
        """Raise StoreError after `close`."""
        if self._closed:
            raise StoreError(
                f"the index '{self.file}' is closed; expected an open one; open it again"
            )

    def close(self) -> None:
        """Close the free connections now, and those at work when they are given back."""
        self._closed = True
        if self._process == os.getpid():
            with self._lock:
                while self._free:
                    self._free.pop().close()

    def _take(self) -> sqlite3.Connection:
        self.check_open()
        self._notice_fork()
        self._check_identity()
        with self._lock:
            if self._free:
                return self._free.pop()
        return self._connect()

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            _inherited.append(self._free)
            self._begin_process()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(connection)
                return
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        # The first connection may make the file; a later one must find the same.
        mode = "rwc" if self._identity is None else "rw"
        try:
            connection = sqlite3.connect(
                f"{self.file.as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise store_error(error, self.file) from error
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error, self.file) from error
        self._identity = _identity(self.file)
        return connection

    def _check_identity(self) -> None:
        if self._identity is not None and _identity(self.file) != self._identity:
            raise StoreError(
                f"the index file '{self.file}' was removed or replaced while it was open; expected "
                "it to stay; open the index again"
            )


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


_DAMAGED = "is damaged; expected a whole file; restore a copy, or index the documents again"

# What is wrong with the index, what was expected and what to do, by SQLite's result code.
_ADVICE = {
    sqlite3.SQLITE_BUSY: (
        f"is being written by another process for more than {BUSY_TIMEOUT_S:.0f} s; expected it to "
        "be free for a moment; wait for the other process or end it, then try again"
    ),
    sqlite3.SQLITE_FULL: (
        "has nothing of this change, for the disk is full; expected room for it; free some space, "
        "then try again"
    ),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written, for the disk failed; expected a working disk; check its "
        "health and its free space, then try again"
    ),
    sqlite3.SQLITE_READONLY: (
        "may not be written; expected write permission for the file and its folder; grant it"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened; expected read and write permission for the file and its folder; grant it"
    ),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def store_error(error: sqlite3.Error, file: Path) -> StoreError:
    """What an error of SQLite's means for the user of an index."""
    # Errors that Python's own module raises have no code; extended codes begin with a plain one.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    unknown = "could not be used; expected SQLite to work; see its message in parentheses"
    return StoreError(f"the index '{file}' {_ADVICE.get(code, unknown)} ({error})")
