"""How far is it? What a long stage says while it runs, and how a caller hears it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MINUTE = 60.0


def _nothing(*_: object) -> None:
    """What is done where nobody listens."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of a run: `say` a line worth keeping, `at` a stage with how much of it is done."""

    say: Callable[[str], None] = _nothing
    at: Callable[[str, int, int], None] = _nothing


class Pace:
    """How long the rest takes, by what was done since this was made."""

    def __init__(self, done: int, total: int) -> None:
        self._first = done
        self._total = total
        self._since = time.monotonic()

    def passed(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._since

    def left(self, done: int) -> float | None:
        """Seconds until `total`; None before anything was done."""
        if done <= self._first:
            return None
        each = self.passed() / (done - self._first)
        return each * (self._total - done)


class Minutes:
    """A line a minute of the stage that is at work, for where no bar can be drawn."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._stage = ("", 0)
        self._done = 0
        self._last = 0.0
        self._pace: Pace | None = None

    def at(self, stage: str, done: int, total: int) -> None:
        """Say how far `stage` is, where a minute has passed since the last line of it."""
        now = time.monotonic()
        again = done < self._done  # a stage may come twice under one name
        self._done = done
        if self._pace is None or again or (stage, total) != self._stage:
            self._stage, self._pace, self._last = (stage, total), Pace(done, total), now
            return
        left = self._pace.left(done)
        if now - self._last >= MINUTE and left:
            self._last = now
            self._say(f"{stage}: {done} of {total}, {spoken(left)} left")


def spoken(seconds: float) -> str:
    """'40 s', '12 min' or '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
