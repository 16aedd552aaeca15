"""Which passages compete with the right one? What mining found, by query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Mined:
    """The candidates of every query, the teacher's best first.

    candidates int32[queries, k], -1 for none; teacher float[queries, k], in standard deviations
    over the query's candidates; right float32[queries] is the same of the right passage. `usable`
    bool[queries]: whether the query may be learned from. idf float32[terms]. `known` int64[n],
    sorted: query text number * passages + passage, for all that is right.
    """

    candidates: NDArray[np.int32]
    teacher: NDArray[np.floating]
    right: NDArray[np.float32]
    usable: NDArray[np.bool_]
    idf: NDArray[np.float32]
    known: NDArray[np.int64]
    passages: NDArray[np.int64]  # how many there are, in an array of one

    @classmethod
    def load(cls, folder: Path) -> Mined:
        """The candidates in `folder`, mapped rather than read."""
        names = (each.name for each in fields(cls))
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})

    def save(self, folder: Path) -> None:
        """Write the candidates; the folder appears whole or not at all."""
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        for each in fields(self):
            np.save(part / f"{each.name}.npy", getattr(self, each.name))
        part.rename(folder)

    def is_right(self, same: int, passages: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: which of the passages are right for this query text."""
        keys = same * int(self.passages[0]) + passages
        at = np.minimum(np.searchsorted(self.known, keys), len(self.known) - 1)
        return np.asarray(self.known)[at] == keys


def known_keys(
    same: NDArray[np.integer], positive: NDArray[np.integer], passages: int
) -> NDArray[np.int64]:
    """The `known` of queries with these text numbers and right passages."""
    return np.unique(same.astype(np.int64) * passages + positive.astype(np.int64))
