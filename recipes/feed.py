"""Batches ahead of time: worker processes make the steps to come, in order.

No torch in here, so that a worker starts at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from recipes.lists import Batch, Lists, Recipe


@dataclass(frozen=True, slots=True)
class Source:
    """Where workers find what lists are made of."""

    data: Path
    mined: Path
    recipe: Recipe
    seed: int

    def open(self) -> Lists:
        """The lists, in this process."""
        return Lists.open(self.data, self.mined, self.recipe, self.seed)


_lists: list[Lists] = []  # one a worker process


def _open_lists(source: Source) -> None:
    _lists.append(source.open())


def _make(step: int) -> Batch:
    return _lists[-1].batch(step)


@contextmanager
def feed(source: Source, first: int, workers: int) -> Iterator[Iterator[Batch]]:
    """The batches from step `first` on, in order, made ahead by worker processes where there are."""
    if not workers:
        yield map(source.open().batch, iter(range(first, 1 << 62)))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _open_lists, (source,)) as pool:
        waiting: deque[Future[Batch]] = deque()

        def batches() -> Iterator[Batch]:
            step = first
            while True:
                while len(waiting) < 3 * workers:
                    waiting.append(pool.submit(_make, step))
                    step += 1
                yield waiting.popleft().result()

        try:
            yield batches()
        finally:
            for future in waiting:
                future.cancel()
