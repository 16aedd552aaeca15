"""What the lower layers of a late join say of every query and passage, read once and kept.

A folder: the states of all tokens after the layer where both sides meet, as the bits of bfloat16,
and the mean of the last states of each row, which is the bi-encoder's vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recipes.bert import Encoder, Kernels, Rows, row_means
from recipes.corpus import Ragged
from recipes.lists import single_row
from recipes.mine import plan

PART_TOKENS = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Rows of tokens with the states of each: uint16[tokens, hidden], the bits of bfloat16.

    `rows` holds their ids as they were read, specials and prefix included; means float16[rows,
    hidden] have length 1.
    """

    rows: Ragged
    states: NDArray[np.uint16]
    means: NDArray[np.float16]

    @classmethod
    def load(cls, folder: Path, name: str) -> States:
        """What `read_states` wrote under this name, the states mapped."""
        ids, starts = np.load(folder / f"{name}.ids.npy"), np.load(folder / f"{name}.starts.npy")
        states = np.load(folder / f"{name}.states.npy", mmap_mode="r")
        return cls(Ragged(ids, starts), states, np.load(folder / f"{name}.means.npy"))


@torch.no_grad()
def read_states(
    encoder: Encoder, texts: Ragged, prefix: list[int], join: int, kernels: Kernels
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Tensor, Tensor]]:
    """Packs of rows: which they are, their starts, bfloat16[tokens, hidden] at `join`, the means."""
    device = encoder.norm.weight.device
    lengths = texts.lengths() + len(prefix) + 2
    for chosen in plan(lengths, 8192):
        rows = [single_row(prefix, texts[int(at)]) for at in chosen]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        packed = Rows.of(np.concatenate(rows), starts, device)
        x = encoder.run(encoder.embed(packed, kernels.dtype), packed.layout, kernels, range(join))
        last = encoder.run(x, packed.layout, kernels, encoder.span(join))
        yield chosen, starts, x.to(torch.bfloat16), row_means(last, packed.layout)


def write_states(
    encoder: Encoder,
    texts: Ragged,
    prefix: list[int],
    join: int,
    kernels: Kernels,
    *,
    folder: Path,
    name: str,
) -> None:
    """Read all texts, which are no longer than the encoder's positions allow, and keep the states."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [single_row(prefix, texts[at]) for at in range(len(texts))]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    hidden = encoder.shape.hidden
    part = folder / f"{name}.states.part"
    kept = np.lib.format.open_memmap(
        part, mode="w+", dtype=np.uint16, shape=(int(starts[-1]), hidden)
    )
    means = np.empty((len(texts), hidden), np.float16)
    for chosen, bounds, x, mean in read_states(encoder, texts, prefix, join, kernels):
        bits = x.view(torch.uint16).cpu().numpy()
        for place, at in enumerate(chosen):
            kept[starts[at] : starts[at + 1]] = bits[bounds[place] : bounds[place + 1]]
        means[chosen] = mean.half().cpu().numpy()
    kept.flush()
    np.save(folder / f"{name}.ids.npy", np.concatenate(rows))
    np.save(folder / f"{name}.starts.npy", starts)
    np.save(folder / f"{name}.means.npy", means)
    part.rename(folder / f"{name}.states.npy")
