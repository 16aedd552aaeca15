"""What is there to learn from? Queries and the passages that answer them, as token ids.

A folder of plain .npy files, so that many processes can map the same pages; `prepare` writes it.
No text is kept: what training needs to know of a token (does it end a sentence, which word does it
stand for) is a table over the vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint16]

QUESTION, HEADING, CLOZE = 0, 1, 2  # what a query is
ENGLISH, CHINESE = 0, 1
BOS, PAD, EOS = 0, 1, 2
HELD_OUT = 50  # one query in so many, by the hash of its text, is for validation


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of different lengths in one array: row i is values[starts[i]:starts[i + 1]]."""

    values: Ids
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """The same rows, packed."""
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        values = np.fromiter((x for row in rows for x in row), np.uint16, int(starts[-1]))
        return cls(values, starts.astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, at: int) -> Ids:
        return self.values[self.starts[at] : self.starts[at + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """int64[rows]."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Passages, and queries of which each has one right passage.

    `noised` holds a misspelt form of some queries, with no token where there is none. `terms` maps
    a token to the number of the word that it stands for, upper and lower case alike; `ends` marks
    tokens that end a sentence. `same` numbers the distinct query texts.
    """

    passages: Ragged
    passage_source: NDArray[np.uint8]
    passage_language: NDArray[np.uint8]
    queries: Ragged
    noised: Ragged
    positive: NDArray[np.int32]
    source: NDArray[np.uint8]
    language: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    held_out: NDArray[np.bool_]
    same: NDArray[np.int32]
    terms: NDArray[np.uint16]
    ends: NDArray[np.bool_]
    prefixes: dict[str, list[int]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """The corpus in `folder`, its arrays mapped rather than read."""
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        parts: dict[str, object] = {"prefixes": meta["prefixes"], "sources": meta["sources"]}
        for name in ARRAYS:
            parts[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
        for name in RAGGED:
            lengths = np.load(folder / f"{name}.lengths.npy").astype(np.int64)
            starts = np.concatenate([[0], np.cumsum(lengths)])
            parts[name] = Ragged(np.load(folder / f"{name}.ids.npy", mmap_mode="r"), starts)
        return cls(**parts)  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        """Write the corpus to `folder`; lengths instead of starts, for they pack better."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        for name in RAGGED:
            rows: Ragged = getattr(self, name)
            np.save(folder / f"{name}.ids.npy", rows.values)
            np.save(folder / f"{name}.lengths.npy", rows.lengths().astype(np.uint16))
        meta = {"prefixes": self.prefixes, "sources": self.sources}
        (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


RAGGED = ("passages", "queries", "noised")
ARRAYS = tuple(
    each.name for each in fields(Corpus) if each.name not in (*RAGGED, "prefixes", "sources")
)
