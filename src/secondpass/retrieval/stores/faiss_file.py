"""Vectors of an SQLite file in a FAISS index, kept beside it as a file that FAISS reads elsewhere too.

The index holds nothing that the SQLite file does not. Vectors never change under their number, and
numbers are never used again, so the numbers in it tell what it lacks and what it has too much.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtra
from secondpass.retrieval.filters import Condition, clause
from secondpass.retrieval.stores.tables import Found, best

_BATCH = 16_384

# From so many vectors on the index keeps a byte a number, in ranges learnt from a sample: at a million
# of 240 numbers 30 ms a query in 240 MB, against 129 ms in 960 MB flat (and 58 ms for numpy's product).
LARGE = 50_000
_SAMPLE = 65_536
_BEYOND = 0.1  # of a range, for vectors that are not in the sample

# Bytes misplace a row by some places; what is fetched is scored anew.
_OVER = 2

# So many vectors of a file are compared with the SQLite file's when it is read.
_PROBES = 32

# The cosine of a vector and itself, in bytes and of any rounding.
_SAME = 0.99

# FAISS numbers are of 64 bits; it asks for a limit of its own type.
_MOST = 2**31 - 1


def faiss() -> Any:  # noqa: ANN401  # FAISS has no types
    """The library; MissingExtra where it is not installed."""
    try:
        import faiss as library
    except ImportError as error:
        raise MissingExtra("store 'faiss'", "faiss") from error
    return library


class FaissFile:
    """An inner-product index, by the numbers of passages; flat, or SQ8 where it is large.

    Threads take turns. It is written by `save`. A file that is missing, damaged or another index's is made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._index: Any = None
        self._state = (-1, -1)
        self._written = True

    def nearest(
        self,
        connection: sqlite3.Connection,
        query: NDArray[np.float32],
        depth: int,
        wanted: Sequence[Condition],
    ) -> list[tuple[int, float]]:
        """At most `depth` (number, cosine) of those that pass, best first, ties by number.

        The connection is in a transaction, and what it sees is what is searched.
        """
        if self._process != os.getpid():  # a lock may be held by a thread that a child has not
            self._process, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            self._follow(connection, len(query))
            allowed = _allowed(connection, wanted) if wanted else None
            if depth < 1 or not self._index.ntotal or (allowed is not None and not allowed.size):
                return []

            def fetch(limit: int) -> list[Found]:
                return self._found(connection, query, limit, allowed)

            found = best(fetch, lambda row: True, depth, _MOST)
        return [(row.number, row.score) for row in found]

    def save(self, connection: sqlite3.Connection) -> None:
        """Write the index as the connection sees the vectors, where the file lacks something."""
        with self._lock:
            if self._index is None:
                return
            self._follow(connection, self._index.d)
            if self._written:
                return
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
            try:
                faiss().write_index(self._index, str(beside))
                beside.replace(self.path)
            finally:
                beside.unlink(missing_ok=True)
            self._written = True

    def _follow(self, connection: sqlite3.Connection, dimension: int) -> None:
        """Bring the index to what the connection sees."""
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        state = (facts["generation"], facts["removals"])
        if self._index is None:
            self._index = self._read(connection, dimension)
            self._written = self._index.ntotal > 0
        elif state == self._state:
            return
        numbers = _numbers(connection, "SELECT number FROM vectors ORDER BY number", ())
        if len(numbers) >= LARGE and not _has_bytes(self._index):
            self._index = _bytes_index(connection, numbers, dimension)
        there = faiss().vector_to_array(self._index.id_map)
        gone = np.setdiff1d(there, numbers)
        if gone.size:
            self._index.remove_ids(faiss().IDSelectorBatch(gone))
        fresh = np.setdiff1d(numbers, there)
        for at in range(0, len(fresh), _BATCH):
            some = fresh[at : at + _BATCH]
            self._index.add_with_ids(_vectors(connection, some, dimension), some)
        self._written &= not gone.size and not fresh.size
        self._state = state

    def _read(self, connection: sqlite3.Connection, dimension: int) -> Any:  # noqa: ANN401
        """The index in the file, where it is one of these vectors; otherwise an empty one."""
        library = faiss()
        empty = library.IndexIDMap(library.IndexFlatIP(dimension))
        if not self.path.is_file():
            return empty
        try:
            found = library.read_index(str(self.path))
        except RuntimeError:  # damaged, and made of nothing but what the SQLite file holds
            return empty
        if not isinstance(found, library.IndexIDMap) or found.d != dimension:
            return empty
        ours = (library.IndexFlatIP, library.IndexScalarQuantizer)
        if not isinstance(library.downcast_index(found.index), ours):
            return empty
        there = library.vector_to_array(found.id_map)
        places = np.unique(np.linspace(0, len(there) - 1, _PROBES).astype(np.int64))
        for place in places[: len(there)]:
            row = connection.execute(_VECTOR, (int(there[place]),)).fetchone()
            if row is None:
                continue
            vector = np.frombuffer(row[0], dtype="<f4")
            if vector @ found.index.reconstruct(int(place)) < _SAME:
                return empty
        return found

    def _found(
        self,
        connection: sqlite3.Connection,
        query: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None,
    ) -> list[Found]:
        library = faiss()
        options = None
        if allowed is not None:
            options = library.SearchParameters(sel=library.IDSelectorBatch(allowed))
        over = _OVER if _has_bytes(self._index) else 1
        count = min(over * limit, self._index.ntotal)
        _, numbers = self._index.search(query[None, :], count, params=options)
        known = numbers[0][numbers[0] >= 0]
        # The product rounds by where a vector stands; this sum is the same anywhere.
        rows = _vectors(connection, known, len(query)).astype(np.float64)
        scores = (rows * query.astype(np.float64)).sum(axis=1)
        found = [
            Found(int(number), "", {}, float(score))
            for number, score in zip(known, scores, strict=True)
        ]
        return sorted(found, key=lambda one: (-one.score, one.number))[:limit]


def _has_bytes(index: Any) -> bool:  # noqa: ANN401
    return isinstance(faiss().downcast_index(index.index), faiss().IndexScalarQuantizer)


def _bytes_index(connection: sqlite3.Connection, numbers: NDArray[np.int64], dimension: int) -> Any:  # noqa: ANN401
    """An empty index of a byte a number, which has learnt the range of each."""
    library = faiss()
    kind = library.ScalarQuantizer
    inner = library.IndexScalarQuantizer(dimension, kind.QT_8bit, library.METRIC_INNER_PRODUCT)
    inner.sq.rangestat, inner.sq.rangestat_arg = kind.RS_minmax, _BEYOND
    inner.train(_vectors(connection, numbers[:: -(-len(numbers) // _SAMPLE)], dimension))
    outer = library.IndexIDMap(inner)
    inner.this.disown()  # the outer one frees it
    outer.own_fields = True
    return outer


_VECTOR = "SELECT vector FROM vectors WHERE number = ?"


def _vectors(
    connection: sqlite3.Connection, numbers: NDArray[np.int64], dimension: int
) -> NDArray[np.float32]:
    blobs = [connection.execute(_VECTOR, (int(one),)).fetchone()[0] for one in numbers]
    flat = np.frombuffer(b"".join(blobs), dtype="<f4").astype(np.float32, copy=False)
    return flat.reshape(len(numbers), dimension)


def _allowed(connection: sqlite3.Connection, wanted: Sequence[Condition]) -> NDArray[np.int64]:
    sql, values = clause(wanted, "metadata")
    return _numbers(connection, f"SELECT number FROM passages WHERE {sql}", values)


def _numbers(
    connection: sqlite3.Connection, query: str, values: Sequence[str]
) -> NDArray[np.int64]:
    found = connection.execute(query, values)
    return np.fromiter((number for (number,) in found), dtype=np.int64)
