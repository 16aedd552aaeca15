"""How far does a budget of time reach? Texts are scored in their given order, a slice at a time.

Each slice takes what the cost model expects to fit into a part of the time that is left; what it took
corrects the model, and the next slice is planned anew. So the slices get smaller towards the end,
and a wrong guess costs a part of the budget, not a multiple of it.

    texts that are left, time that is left -> CostModel -> slice -> scores -> learn -> ...
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from secondpass.errors import InvalidInput

SHARE = 0.6  # of the time that is left goes into a slice, so that there is time to correct
RESERVE = 0.03  # of the budget stays for ordering and for the clock's own noise
ROW_BYTES = 16  # what a row costs beside its text: specials, the head, its place in a pack
PACE = 0.5  # weight of the newest slice in what is learnt


class CostModel:
    """Seconds a byte of text, learnt from every call. Safe to use from many threads.

    Bytes are known before anything is tokenised, and tokens follow them: windows bound the length
    of a row, so that the cost of a text grows with its length and not with the square of it.
    """

    def __init__(self) -> None:
        self._seconds_a_byte: float | None = None
        self._lock = threading.Lock()

    def learn(self, sizes: Sequence[int], seconds: float) -> None:
        """A call over texts of these bytes, each with its query, took `seconds`."""
        cost = work(sizes)
        if cost == 0 or not seconds > 0:
            return
        with self._lock:
            known = self._seconds_a_byte
            newest = seconds / cost
            self._seconds_a_byte = newest if known is None else known + PACE * (newest - known)

    def fitting(self, sizes: Sequence[int], seconds: float) -> int:
        """How many of the texts, from the first on, are expected to be scored within `seconds`.

        A model that has learnt nothing yet answers 1 where any time is left: it has to begin.
        """
        if not sizes or seconds <= 0:
            return 0
        with self._lock:
            rate = self._seconds_a_byte
        if rate is None:
            return 1
        left, count = seconds / rate, 0
        for size in sizes:
            left -= work([size])
            if left < 0:
                break
            count += 1
        return count


def work(sizes: Sequence[int]) -> int:
    """The cost of scoring texts of these bytes, in bytes."""
    return sum(sizes) + ROW_BYTES * len(sizes)


def check_budget(budget_ms: float | None) -> None:
    """Raise InvalidInput for what is no span of time."""
    if budget_ms is None:
        return
    number = isinstance(budget_ms, float | int) and not isinstance(budget_ms, bool)
    if not number or not math.isfinite(budget_ms) or budget_ms <= 0:
        raise InvalidInput(
            f"budget_ms={budget_ms!r} is no span of time; expected milliseconds above 0, such as 150, "
            "or None for no limit"
        )


def within(
    seconds: float,
    sizes: Sequence[int],
    costs: CostModel,
    score: Callable[[int, int], None],
    clock: Callable[[], float],
) -> int:
    """Call `score(start, end)` for slices of the texts until the time is up; how many it reached.

    Slices follow each other from 0 on. A text that is begun is finished: the end may come later than
    asked for, by as much as the cost model was wrong about the last slice.
    """
    deadline = clock() + seconds * (1 - RESERVE)
    done = 0
    while done < len(sizes):
        now = clock()
        left = deadline - now
        count = costs.fitting(sizes[done:], SHARE * left) or min(
            1, costs.fitting(sizes[done : done + 1], left)
        )
        if count == 0:
            break
        score(done, done + count)
        costs.learn(sizes[done : done + count], clock() - now)
        done += count
    return done
