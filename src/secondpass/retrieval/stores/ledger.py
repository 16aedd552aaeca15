"""What of a vector database's rows is there for readers? One small text says it, written at once.

Such databases have no transactions. So every row has a number that is never used again, and:

    put new rows from `end` on -> save the ledger (this is the commit) -> drop the rows in `gone`

A reader takes rows below `end` that are not in `gone`. Whatever a writer left above `end` when it
died, nobody sees, and the next writer drops it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from secondpass.types import EncoderRecord

# Raised with every change of how rows are laid out.
LAYOUT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers `start <= number < end`."""

    start: int
    end: int

    def pieces(self, size: int) -> Iterator[Span]:
        """The span in pieces of at most `size` numbers, in order."""
        for start in range(self.start, self.end, size):
            yield Span(start, min(start + size, self.end))


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same numbers in as few spans as can be; the given ones do not overlap."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        if joined and joined[-1].end == span.start:
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return tuple(joined)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state of a store. `writes` grows with every save, so equal ledgers are one state.

    `removals` counts the calls that took rows away. `documents` and `passages` count what readers
    see.
    """

    layout: int
    analyser: int
    writes: int = 0
    end: int = 0
    gone: tuple[Span, ...] = ()
    removals: int = 0
    documents: int = 0
    passages: int = 0
    encoder: EncoderRecord | None = None

    def shows(self, number: int) -> bool:
        """Whether readers see the row with this number."""
        return number < self.end and not any(span.start <= number < span.end for span in self.gone)

    def to_text(self) -> str:
        """The ledger as it is kept."""
        fields = asdict(self) | {"gone": [[span.start, span.end] for span in self.gone]}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Ledger:
        """The ledger that was kept as this text; ValueError where it is none."""
        found = json.loads(text)
        if not isinstance(found, dict) or "layout" not in found:
            raise ValueError("not a ledger")
        found["gone"] = tuple(Span(*pair) for pair in found["gone"])
        if found["encoder"] is not None:
            found["encoder"] = EncoderRecord(**found["encoder"])
        return cls(**found)
