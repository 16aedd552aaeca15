"""How many passages hold a term? Counted once for each state of the file, then remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

# Queries share most of their words; beyond so many, remembering costs more memory than it saves.
_MAX_TERMS = 100_000


@dataclass(slots=True)
class _State:
    generation: int
    passages: int
    counts: dict[str, int] = field(default_factory=dict)


class Frequencies:
    """Counts of passages by term. Every write raises the file's generation, which ends them."""

    def __init__(self) -> None:
        self._state = _State(-1, 0)

    def of(
        self, connection: sqlite3.Connection, terms: Sequence[str]
    ) -> tuple[int, dict[str, int]]:
        """The number of passages, and how many of them hold each term.

        Counts what the connection's transaction sees.
        """
        row = connection.execute("SELECT value FROM facts WHERE name = 'generation'").fetchone()
        # Another thread may be in another state meanwhile: each goes on with the one it took.
        state = self._state
        if state.generation != row[0] or len(state.counts) > _MAX_TERMS:
            (passages,) = connection.execute("SELECT count(*) FROM passages").fetchone()
            state = self._state = _State(row[0], passages)
        for term in terms:
            if term not in state.counts:
                found = connection.execute(
                    "SELECT doc FROM vocabulary WHERE term = ?", (term,)
                ).fetchone()
                state.counts[term] = 0 if found is None else found[0]
        return state.passages, {term: state.counts[term] for term in terms}
