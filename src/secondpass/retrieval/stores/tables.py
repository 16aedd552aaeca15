"""What must a vector database offer, so that passages can live in it? Two tables and a text.

One file for each database keeps to this contract; `table_store.py` makes a store of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from secondpass.retrieval.filters import Condition
from secondpass.retrieval.stores.ledger import Span
from secondpass.types import Metadata, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A request holds so many ids or rows at most.
MAX_IDS = 500

# So much more than the depth is asked for at first, for ties and rows that do not pass.
SLACK = 16

# Databases round scores differently by where a vector stands; less apart than this may be equal.
TIE = 1e-5


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document; its passages have the numbers that follow its own."""

    number: int
    id: str
    digest: str
    path: str | None
    passages: int

    @property
    def span(self) -> Span:
        """The numbers of the document and its passages."""
        return Span(self.number, self.number + 1 + self.passages)


@dataclass(frozen=True, slots=True, eq=False)
class PassageRow:
    """A passage; `vector` is float32[dimension], None where there is none or nobody asked."""

    number: int
    passage: Passage
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A row that a search found; a higher score is better."""

    number: int
    id: str
    metadata: Metadata
    score: float
    vector: NDArray[np.float32] | None = None


class Tables(Protocol):
    """A database's two tables, of documents and of passages, and the ledger.

    Methods that take conditions may give rows too that do not pass: the caller looks again.
    """

    @property
    def place(self) -> str:
        """Where the tables are, for messages."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the database's client raises."""

    @property
    def alone(self) -> bool:
        """Whether one thread at a time may call."""

    @property
    def most(self) -> int:
        """How many rows a search gives at most."""

    def load(self) -> str:
        """The ledger as it was saved last."""

    def save(self, ledger: str) -> None:
        """Keep the ledger; at once, or not at all."""

    def arrange(self, dimension: int | None) -> None:
        """Make the passages' table anew, unless it is for vectors of this dimension already."""

    def put(self, documents: Sequence[DocumentRow], passages: Sequence[PassageRow]) -> None:
        """Write rows."""

    def drop(self, numbers: Sequence[int]) -> None:
        """Remove the rows with these numbers from both tables."""

    def drop_from(self, number: int) -> None:
        """Remove all rows from this number on from both tables."""

    def documents(self, span: Span) -> list[DocumentRow]:
        """The documents with these numbers, in order."""

    def documents_named(self, ids: Sequence[str]) -> list[DocumentRow]:
        """The rows with these document ids, at most MAX_IDS of them."""

    def passages(self, span: Span, wanted: Sequence[Condition] = ()) -> list[PassageRow]:
        """The passages with these numbers that pass, in order, without vectors."""

    def passages_named(self, ids: Sequence[str], *, vectors: bool) -> list[PassageRow]:
        """The rows with these passage ids, at most MAX_IDS of them."""

    def nearest(
        self, vector: NDArray[np.float32], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by the cosine, best first, with their vectors."""

    def matching(
        self, terms: Sequence[str], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by BM25, best first."""

    def bytes_on_disk(self) -> int:
        """How much disk the tables take; 0 where that cannot be known."""

    def flush(self) -> None:
        """Return once everything written would survive a loss of power."""

    def close(self) -> None:
        """Let go of the database."""


def body_of(passage: Passage) -> str:
    """All of a passage but its id and text, as JSON."""
    fields = [
        [passage.document, passage.start, passage.end, passage.title, passage.path, passage.page],
        list(passage.headings),
        dict(passage.metadata),
    ]
    return json.dumps(fields, ensure_ascii=False)


def passage_of(id: str, text: str, body: str) -> Passage:
    """The passage that `body_of` took apart."""
    (document, start, end, title, path, page), headings, metadata = json.loads(body)
    return Passage(id, text, document, start, end, title, path, page, tuple(headings), metadata)


def best(
    fetch: Callable[[int], list[Found]], keep: Callable[[Found], bool], depth: int, most: int
) -> list[Found]:
    """The best `depth` of the rows to keep, best first, ties by number.

    `fetch` gives so many rows, best first. It is asked for more until what it holds back can
    neither tie with the last nor take its place.
    """
    limit = min(depth + SLACK, most)
    while True:
        found = fetch(limit)
        kept = sorted(filter(keep, found), key=lambda one: (-one.score, one.number))[:depth]
        if len(found) < limit or limit == most:
            return kept
        if len(kept) == depth and kept[-1].score - min(one.score for one in found) > TIE:
            return kept
        limit = min(limit * 4, most)
