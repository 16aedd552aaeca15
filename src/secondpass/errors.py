"""Every error that secondpass raises on purpose.

    SecondpassError
    ├── InvalidInput     a value given cannot be used (a ValueError too)
    ├── UnknownName      a name that is in no table; the message lists the known ones
    ├── MissingExtra     an optional dependency is not installed; the message has the install line
    ├── DocumentError    a file or record cannot be read as a document
    ├── StoreError       an index cannot be opened, read or written
    ├── ModelError       a checkpoint cannot be used, or is not what was asked for
    └── EngineError      scoring failed or would have been wrong (NaN, a closed model)

A message says what is wrong with which value, what was expected, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class SecondpassError(Exception):
    """The root: catch this to catch everything that secondpass raises on purpose."""


class InvalidInput(SecondpassError, ValueError):
    """A value given cannot be used."""


class UnknownName(InvalidInput):
    """A name that is in no table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} '{name}'; choose from {', '.join(sorted(known))}")


class MissingExtra(SecondpassError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'secondpass[{extra}]'")


class DocumentError(SecondpassError):
    """A file or record cannot be read as a document."""


class StoreError(SecondpassError):
    """An index cannot be opened, read or written."""


class ModelError(SecondpassError):
    """A checkpoint cannot be used, or is not what was asked for."""


class EngineError(SecondpassError):
    """Scoring failed, or its answer would have been wrong."""
