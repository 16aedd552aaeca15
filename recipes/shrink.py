"""The bi-encoder in fewer layers: taught to say of every text what the whole one says.

    python -m recipes.shrink --read build/recipes/late/states --out build/recipes/small --seconds 2400

A late join reads a text with the lower layers and takes the cosine of the upper ones. The smaller
encoder learns both from states that `recipes.late read` kept: every token's at the join, and the
mean of the last. Errors are measured in shares of what there is to explain, dimension by
dimension, since a few of e5's are far wider than the others (TinyBERT, arXiv:1909.10351, has the
states as targets; FitNets, arXiv:1412.6550, the lower half by itself).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recipes.attention import attend_products
from recipes.bert import Encoder, Kernels, Ranker, Rows, Shape, row_means
from recipes.fit import Clock, Log, Pace, Stage
from recipes.start import Tensors, load_start
from recipes.states import States
from recipes.upper import span

SEED = 1
HELD_OUT = 64  # every so manieth text is measured on, not learned from
SAMPLE = 65536  # tokens by which the spread of a dimension is told
FRAME = 4  # <s> query : </s>
SIDES = ("passages", "queries", "noised")
KERNELS = Kernels(attend_products, dtype=torch.bfloat16)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Texts, and what the whole encoder says of them.

    ids and starts as packed rows; states uint16[tokens, hidden], the bits of bfloat16, at the join;
    means float16[rows, hidden] of the last states.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    states: NDArray[np.uint16]
    means: NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """All texts that were read: a row is (which side, which row of it), int64[texts, 2].

    lengths int64[texts] in tokens.
    """

    sides: tuple[States, ...]
    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> Texts:
        """What `recipes.late read` kept; empty rows, of queries that have no misspelling, left out."""
        sides = tuple(States.load(folder, name) for name in SIDES)
        rows, lengths = [], []
        for at, side in enumerate(sides):
            each = side.rows.lengths()
            found = np.flatnonzero(each > FRAME)
            rows.append(np.stack([np.full(len(found), at), found], axis=1))
            lengths.append(each[found])
        return cls(sides, np.concatenate(rows), np.concatenate(lengths))

    def told(self, chosen: NDArray[np.int64]) -> Told:
        """These rows together."""
        ids, states, means = [], [], []
        for at, row in chosen:
            side = self.sides[at]
            ids.append(side.rows[int(row)].astype(np.int64))
            states.append(side.states[span(side, int(row))])
            means.append(side.means[row])
        starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
        return Told(np.concatenate(ids), starts, np.concatenate(states), np.stack(means))

    def held(self) -> NDArray[np.bool_]:
        """bool[texts]: which are measured on; a passage's queries may still be learned from."""
        return self.rows[:, 1] % HELD_OUT == 0

    def step(self, number: int, tokens: int) -> Told:
        """What step n learns from: texts that the seed and n decide."""
        learned = np.flatnonzero(~self.held())
        order = np.random.default_rng([SEED, number]).permutation(learned)
        used = np.cumsum(self.lengths[order])
        return self.told(self.rows[order[: max(1, int(np.searchsorted(used, tokens)))]])


def float_states(told: Told) -> Tensor:
    """float32[tokens, hidden]."""
    return torch.from_numpy(told.states).view(torch.bfloat16).float()


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """The standard deviation of each dimension: float32[hidden] of states, and of means."""

    states: Tensor
    means: Tensor

    @classmethod
    def of(cls, texts: Texts) -> Spread:
        """By a sample of the texts."""
        told = texts.step(0, SAMPLE)
        return cls(float_states(told).std(0), torch.from_numpy(told.means).float().std(0))


def unexplained(model: Encoder, join: int, told: Told, spread: Spread) -> tuple[Tensor, Tensor]:
    """The share of the states' variance, and of the means', that the smaller encoder misses."""
    rows = Rows.of(told.ids, told.starts, spread.states.device)
    lower = model.run(model.embed(rows, KERNELS.dtype), rows.layout, KERNELS, range(join))
    upper = model.run(lower, rows.layout, KERNELS, model.span(join))
    states = (lower.float() - float_states(told)) / spread.states
    means = row_means(upper, rows.layout) - torch.from_numpy(told.means).float()
    return states.square().mean(), (means / spread.means).square().mean()


def shrunk(start: Tensors, layers: list[int]) -> Ranker:
    """A model of these layers of the whole one, which alone learn."""
    model = Ranker(Shape(layers=len(layers)))
    model.load_tensors(start, layers)
    model.requires_grad_(False)
    model.encoder.layers.requires_grad_(True)
    return model


def write_start(model: Ranker, path: Path) -> None:
    """The encoder as `recipes.start.load_start` reads it."""
    names = {n: v for n, v in model.tensors().items() if not n.startswith(("dense", "logit"))}
    part = path.with_suffix(".part.npz")
    np.savez(part, **names)  # type: ignore[arg-type]
    part.rename(path)


def steps(texts: Texts, first: int, tokens: int) -> Iterator[Told]:
    """The steps from `first` on; the next is read while one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(texts.step, first, tokens)
        while True:
            first += 1
            ready, waiting = waiting.result(), pool.submit(texts.step, first, tokens)
            yield ready


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--start", type=Path, default=Path("build/recipes/little/start.npz"))
    parser.add_argument("--read", type=Path, default=Path("build/recipes/late/states"))
    parser.add_argument("--out", type=Path, default=Path("build/recipes/small"))
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[0, 4, 8, 10, 11], help="of the whole one"
    )
    parser.add_argument("--join", type=int, default=3, help="layers below the join")
    parser.add_argument("--seconds", type=float, default=2400)
    parser.add_argument("--tokens", type=int, default=6144, help="of a step")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--check-seconds", type=float, default=300)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    texts = Texts.load(args.read)
    spread, held = Spread.of(texts), texts.rows[texts.held()]
    told = texts.told(held[:: max(1, len(held) // 256)])
    model = shrunk(load_start(args.start), args.layers)
    encoder = model.encoder
    log = Log(args.out / "log.jsonl")
    pace = Pace(args.rate, args.rate, seconds=args.seconds, check_seconds=args.check_seconds)
    stage = Stage("shrink", model, pace, args.out / "shrink.pt", log)
    stage.restore(torch.device("cpu"))

    def check() -> dict[str, object]:
        with torch.no_grad():
            states, means = unexplained(encoder, args.join, told, spread)
        return {"states": float(states), "means": float(means)}

    def loss_of(step: Told) -> Tensor:
        states, means = unexplained(encoder, args.join, step, spread)
        return states + means

    log({"event": "begin", "step": stage.step, "spent": stage.spent, **check()})
    if stage.train(steps(texts, stage.step, args.tokens), loss_of, check, Clock(args.seconds + 60)):
        write_start(model, args.out / "start.npz")


if __name__ == "__main__":
    main()
