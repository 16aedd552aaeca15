"""Which rows go through the model together? By tokens, not by rows, and sorted by length.

lengths -> plan_batches -> lists of row numbers -> pack -> Batch
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InvalidInput
from secondpass.protocols import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One query and one window of a text, put together: what the model reads at once."""

    ids: NDArray[np.int32]
    types: NDArray[np.int32]


def plan_batches(
    lengths: Sequence[int], *, max_tokens: int, max_rows: int = 1024
) -> list[list[int]]:
    """Batches of row numbers, longest rows first; rows of one length keep their order.

    No batch holds more than `max_tokens` tokens or `max_rows` rows, but that a row longer than
    `max_tokens` gets a batch of its own. Every row is in exactly one batch.
    """
    if max_tokens < 1 or max_rows < 1:
        raise InvalidInput(
            f"max_tokens={max_tokens} and max_rows={max_rows} leave no room for a batch; "
            "expected at least 1 of each"
        )
    batches: list[list[int]] = []
    room = rows_left = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if lengths[row] > room or not rows_left:
            batches.append([])
            room, rows_left = max_tokens, max_rows
        batches[-1].append(row)
        room -= lengths[row]
        rows_left -= 1
    return batches


def pack(rows: Sequence[Row]) -> Batch:
    """The rows laid end to end, in this order and without padding."""
    if not rows:
        empty = np.zeros(0, dtype=np.int32)
        return Batch(empty, empty, empty)
    return Batch(
        ids=np.concatenate([row.ids for row in rows]),
        types=np.concatenate([row.types for row in rows]),
        lengths=np.fromiter((len(row.ids) for row in rows), dtype=np.int32, count=len(rows)),
    )
