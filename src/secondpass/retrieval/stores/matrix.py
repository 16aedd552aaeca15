"""The vectors of an SQLite file in memory: read once, then kept true to what is written."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondpass.retrieval.filters import Condition, clause
from secondpass.retrieval.vectors import Block

# A removal or a small addition copies the blocks that it touches, so they should be small; a
# product has a cost a block, so they should not be too small. 25 MB at 384 numbers.
BLOCK_ROWS = 16_384

_MAX_FILTERS = 16


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The vectors of the file after `generation` writes, in the order of adding."""

    generation: int = -1
    removals: int = 0
    blocks: tuple[Block, ...] = ()
    allowed: dict[tuple[str, ...], NDArray[np.int64]] = field(default_factory=dict)


class Matrix:
    """All vectors of a file. Threads may share it; a state that one of them took never changes."""

    def __init__(self) -> None:
        self._state = _State()
        self._begin_process()

    def _begin_process(self) -> None:
        # A lock may be held by a thread that a child process does not have.
        self._process = os.getpid()
        self._lock = threading.Lock()

    def select(
        self, connection: sqlite3.Connection, wanted: Sequence[Condition]
    ) -> tuple[tuple[Block, ...], NDArray[np.int64] | None]:
        """The vectors, and the numbers of the passages that pass, ascending; None for all.

        The connection is in a transaction, which is begun anew where another thread knows more
        than it sees: afterwards it sees the file as the vectors are.
        """
        if self._process != os.getpid():
            self._begin_process()
        with self._lock:
            generation = _fact(connection, "generation")
            if generation < self._state.generation:
                connection.execute("COMMIT")
                connection.execute("BEGIN")
                generation = _fact(connection, "generation")
            if generation != self._state.generation:
                self._state = _changed(self._state, connection, generation)
            state = self._state
        return state.blocks, _allowed(state, connection, wanted)


def _fact(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return int(row[0])


def _changed(state: _State, connection: sqlite3.Connection, generation: int) -> _State:
    """The state that the connection sees: numbers only grow, so what is new comes at the end."""
    removals = _fact(connection, "removals")
    blocks = list(state.blocks)
    if removals != state.removals:
        blocks = _without_removed(blocks, connection)
    last = int(blocks[-1].numbers[-1]) if blocks else 0
    room = BLOCK_ROWS - len(blocks[-1]) if blocks else 0
    for block in _read(connection, last, room):
        if blocks and len(blocks[-1]) + len(block) <= BLOCK_ROWS:
            before = blocks.pop()
            block = Block(  # noqa: PLW2901
                np.concatenate([before.numbers, block.numbers]),
                np.concatenate([before.vectors, block.vectors]),
            )
        blocks.append(block)
    return _State(generation, removals, tuple(blocks))


def _without_removed(blocks: Sequence[Block], connection: sqlite3.Connection) -> list[Block]:
    there = _numbers(connection, "SELECT number FROM passages", ())
    kept = []
    for block in blocks:
        stays = np.isin(block.numbers, there, assume_unique=True)
        if stays.all():
            kept.append(block)
        elif stays.any():
            kept.append(Block(block.numbers[stays], block.vectors[stays]))
    return kept


def _read(connection: sqlite3.Connection, last: int, room: int) -> Iterator[Block]:
    """The vectors of higher numbers than `last`: `room` of them, then a full block at a time."""
    found = connection.execute(
        "SELECT number, vector FROM vectors WHERE number > ? ORDER BY number", (last,)
    )
    rows = found.fetchmany(room or BLOCK_ROWS)
    while rows:
        numbers = np.array([number for number, _ in rows], dtype=np.int64)
        flat = np.frombuffer(b"".join([vector for _, vector in rows]), dtype="<f4")
        yield Block(numbers, flat.astype(np.float32, copy=False).reshape(len(rows), -1))
        rows = found.fetchmany(BLOCK_ROWS)


def _allowed(
    state: _State, connection: sqlite3.Connection, wanted: Sequence[Condition]
) -> NDArray[np.int64] | None:
    if not wanted:
        return None
    sql, values = clause(wanted, "metadata")
    key = (sql, *values)
    # Reading all metadata takes longer than the search, and filters are mostly asked again.
    numbers = state.allowed.get(key)
    if numbers is None:
        numbers = _numbers(connection, f"SELECT number FROM passages WHERE {sql}", values)
        if len(state.allowed) >= _MAX_FILTERS:
            state.allowed.clear()
        state.allowed[key] = numbers
    return numbers


def _numbers(
    connection: sqlite3.Connection, query: str, values: Sequence[str]
) -> NDArray[np.int64]:
    found = connection.execute(query, values)
    return np.sort(np.fromiter((number for (number,) in found), dtype=np.int64))
