"""What the frozen layers say of a side is the same at every step: computed once, and kept on disk.

rows of lists -> distinct sides -> states at the join, and vectors -> given to the chunks of a step

A text stands in many lists and is read in every epoch, so most of a late join's work is done once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondpass.engine.batching import Row, plan_batches
from secondpass.training.batches import Chunk
from secondpass.training.late_join import LateJoinBertForSequenceClassification, mean_of

STATES, VECTORS, HALF_DONE = "states.npy", "vectors.npy", "part.npy"
READ_TOKENS = 4096  # at once
MOST_SHARE = 0.5  # of the free disk that the states may take

Side = tuple[int, bytes]  # 0, query, or 1, text; and its ids


@dataclass(frozen=True, slots=True)
class Sides:
    """The distinct sides of rows, and where the states of each begin when laid end to end."""

    starts: dict[Side, int]
    tokens: int

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Sides:
        """The sides in the order in which the rows show them first."""
        starts: dict[Side, int] = {}
        tokens = 0
        for row in rows:
            for side in (0, 1):
                ids = row.ids[row.types == side]
                key = side, ids.tobytes()
                if key not in starts:
                    starts[key] = tokens
                    tokens += len(ids)
        return cls(starts, tokens)

    def fit(self, folder: Path, hidden: int) -> bool:
        """Whether their states are few enough for the disk that `folder` is on."""
        there = (folder / STATES, folder / HALF_DONE)
        taken = sum(one.stat().st_size for one in there if one.is_file())
        free = shutil.disk_usage(folder).free + taken
        return self.tokens * hidden * np.dtype(np.float16).itemsize <= MOST_SHARE * free


class KeptStates:
    """States at the join, float16[tokens, hidden] in a file, and vectors, float32[sides, hidden]."""

    def __init__(
        self, sides: Sides, states: NDArray[np.float16], vectors: NDArray[np.float32]
    ) -> None:
        self._sides = sides
        self._states = states
        self._vectors = vectors
        self._numbers = {key: number for number, key in enumerate(sides.starts)}

    @classmethod
    def compute(
        cls,
        model: LateJoinBertForSequenceClassification,
        sides: Sides,
        folder: Path,
        on_tokens: Callable[[int, int], None] | None = None,
    ) -> KeptStates:
        """Read each side alone, or take what an earlier process of the same run left in `folder`."""
        states, vectors, half_done = (folder / name for name in (STATES, VECTORS, HALF_DONE))
        if not vectors.is_file():
            kept = np.lib.format.open_memmap(
                half_done, "w+", np.float16, (sides.tokens, model.config.hidden_size)
            )
            found = np.empty((len(sides.starts), model.config.hidden_size), dtype=np.float32)
            _read_sides(model, sides, kept, found, on_tokens)
            kept.flush()
            half_done.replace(states)
            np.save(half_done, found, allow_pickle=False)
            half_done.replace(vectors)  # last: where it is, both are whole
        return cls(sides, np.load(states, mmap_mode="r"), np.load(vectors))

    def given(self, chunk: Chunk) -> dict[str, Tensor]:
        """The states of the chunk's rows, float16[rows, longest, hidden], and their cosines."""
        assert chunk.types is not None
        rows, longest = chunk.ids.shape
        states = np.zeros((rows, longest, self._states.shape[1]), dtype=np.float16)
        cosines = np.empty(rows, dtype=np.float32)
        for row in range(rows):
            at = 0
            numbers = []
            for side in (0, 1):
                here = (chunk.mask[row] == 1) & (chunk.types[row] == side)
                ids = chunk.ids[row][here].astype(np.int32)
                key = side, ids.tobytes()
                start = self._sides.starts[key]
                states[row, at : at + len(ids)] = self._states[start : start + len(ids)]
                at += len(ids)
                numbers.append(self._numbers[key])
            cosines[row] = self._vectors[numbers[0]] @ self._vectors[numbers[1]]
        return {"states": torch.from_numpy(states), "cosines": torch.from_numpy(cosines)}


@torch.no_grad()
def _read_sides(
    model: LateJoinBertForSequenceClassification,
    sides: Sides,
    states: NDArray[np.float16],
    vectors: NDArray[np.float32],
    on_tokens: Callable[[int, int], None] | None,
) -> None:
    device = model.device
    keys = list(sides.starts)
    done = 0
    for numbers, *batch in _side_batches(keys):
        ids, types, kept = (tensor.to(device) for tensor in batch)
        joined, last = model.bert.below(ids, types, kept)
        vectors[numbers] = mean_of(last.float(), kept).cpu().numpy()
        found = joined.half().cpu().numpy()
        for row, number in enumerate(numbers):
            start = sides.starts[keys[number]]
            length = int(kept[row].sum())
            states[start : start + length] = found[row, :length]
        done += int(kept.sum())
        if on_tokens is not None:
            on_tokens(done, sides.tokens)


def _side_batches(keys: Sequence[Side]) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """(numbers of the sides, ids, sides, validity), padded; the longest first."""
    width = np.dtype(np.int32).itemsize
    lengths = [len(ids) // width for _, ids in keys]
    for numbers in plan_batches(lengths, max_tokens=READ_TOKENS):
        longest = max(lengths[number] for number in numbers)
        ids = torch.zeros(len(numbers), longest, dtype=torch.long)
        types, kept = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
        for row, number in enumerate(numbers):
            side, of_side = keys[number]
            here = np.frombuffer(of_side, dtype=np.int32).astype(np.int64)
            ids[row, : len(here)] = torch.from_numpy(here)
            types[row] = side
            kept[row, : len(here)] = True
        yield numbers, ids, types, kept
