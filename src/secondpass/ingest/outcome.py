"""What a loader has to say about a file: a document, a failure, or that it left something out."""

from __future__ import annotations

from dataclasses import dataclass

from secondpass.types import Document


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or record that could not be read; a record's `path` ends in `:<line number>`."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.path}' cannot be loaded: {self.reason}"


@dataclass(frozen=True, slots=True)
class Skip:
    """A file, or a part of one, that was left out although nothing went wrong.

    `document` is the id of a whole document that was left out since there is nothing in it any
    more: an index that has an older version should forget it.
    """

    path: str
    reason: str
    document: str | None = None

    def __str__(self) -> str:
        return f"'{self.path}' is skipped: {self.reason}"


Outcome = Document | Failure | Skip
