"""What the frozen layers say of a side is the same at every step: computed once, and kept on disk.

rows of lists -> distinct sides -> states at the join, and vectors -> given to the chunks of a step

A text stands in many lists and is read in every epoch, so most of a late join's work is done once.
The file goes with the run: `RECORD` says of which sides and weights it is, or that there was no room.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondpass.engine.batching import Row
from secondpass.training.batches import Chunk
from secondpass.training.late_join import LateJoinBertForSequenceClassification, mean_of

STATES, VECTORS, RECORD = "states.f16", "vectors.npy", "states.json"
READ_TOKENS = 4096  # at once, padding included
MOST_SHARE = 0.5  # of the free disk that the states may take
HALF = np.dtype(np.float16).itemsize

Side = tuple[int, bytes]  # 0, query, or 1, text; and its ids
OnTokens = Callable[[int, int], None]


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

    def digest(self, model: LateJoinBertForSequenceClassification, precision: str) -> str:
        """What the states depend on: the sides in their order, the frozen weights, the numbers."""
        found = hashlib.sha256(precision.encode())
        for side, ids in self.starts:
            found.update(bytes([side]) + len(ids).to_bytes(8, "little") + ids)
        for module in model.frozen():
            for name, weight in module.named_parameters():
                found.update(name.encode())
                found.update(weight.detach().cpu().numpy().tobytes())
        return found.hexdigest()


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
        *,
        precision: str = "fp32",
        on_tokens: OnTokens | None = None,
    ) -> KeptStates | None:
        """Read each side alone, or take what an earlier process of the same run left in `folder`.

        None where the disk has no room for the states, and ever after in this run, so that a run that
        was killed goes on as it began.
        """
        digest = sides.digest(model, precision)
        known = _record(folder)
        hidden = model.config.hidden_size
        if known.get("digest") != digest:
            forget(folder)
            kept = _has_room(folder, sides.tokens * hidden * HALF) and _write(
                model, sides, folder, on_tokens
            )
            known = {"digest": digest, "kept": kept}
            half_done = folder / f"part.{RECORD}"
            half_done.write_text(json.dumps(known), encoding="utf-8")
            half_done.replace(folder / RECORD)  # last: where it is, all is whole
        if not known["kept"]:
            return None
        states = np.memmap(folder / STATES, np.float16, "r", shape=(sides.tokens, hidden))
        return cls(sides, states, np.load(folder / VECTORS))

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


def forget(folder: Path) -> None:
    """Remove what was kept in `folder`."""
    for name in (RECORD, STATES, VECTORS):
        with suppress(OSError):  # another system may hold a mapped file: it goes with the folder
            (folder / name).unlink()


def _record(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_room(folder: Path, size: int) -> bool:
    return size <= MOST_SHARE * shutil.disk_usage(folder).free


def _write(
    model: LateJoinBertForSequenceClassification,
    sides: Sides,
    folder: Path,
    on_tokens: OnTokens | None,
) -> bool:
    """Whether all could be written; nothing is left where the disk is full before the end."""
    vectors = np.empty((len(sides.starts), model.config.hidden_size), dtype=np.float32)
    starts = list(sides.starts.values())
    done = 0
    try:
        with (folder / STATES).open("wb") as file:
            for numbers, states, found in _read_sides(model, list(sides.starts)):
                vectors[numbers] = found
                for number, of_side in zip(numbers, states, strict=True):
                    file.seek(starts[number] * model.config.hidden_size * HALF)
                    file.write(of_side.tobytes())
                    done += len(of_side)
                if on_tokens is not None:
                    on_tokens(done, sides.tokens)
        np.save(folder / VECTORS, vectors, allow_pickle=False)
    except OSError:
        forget(folder)
        return False
    return True


@torch.no_grad()
def _read_sides(
    model: LateJoinBertForSequenceClassification, keys: Sequence[Side]
) -> Iterator[tuple[list[int], list[NDArray[np.float16]], NDArray[np.float32]]]:
    """(numbers of the sides, the states of each, float16[tokens, hidden], and their vectors)."""
    for numbers, *batch in _side_batches(keys):
        ids, types, kept = (tensor.to(model.device) for tensor in batch)
        joined, last = model.bert.below(ids, types, kept)
        states = joined.half().cpu().numpy()
        lengths = kept.sum(1).tolist()
        of_sides = [states[row, :length] for row, length in enumerate(lengths)]
        yield numbers, of_sides, mean_of(last.float(), kept).cpu().numpy()


def _side_batches(keys: Sequence[Side]) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """(numbers of the sides, ids, sides, validity), padded; the longest first."""
    sides = [np.frombuffer(ids, dtype=np.int32).astype(np.int64) for _, ids in keys]
    order = sorted(range(len(keys)), key=lambda number: -len(sides[number]))
    while order:
        rows = max(1, READ_TOKENS // max(1, len(sides[order[0]])))
        numbers, order = order[:rows], order[rows:]
        shape = len(numbers), len(sides[numbers[0]])
        ids, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        kept = torch.zeros(shape, dtype=torch.bool)
        for row, number in enumerate(numbers):
            length = len(sides[number])
            ids[row, :length] = torch.from_numpy(sides[number])
            types[row] = keys[number][0]
            kept[row, :length] = True
        yield numbers, ids, types, kept
