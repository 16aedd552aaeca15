"""What a store tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from secondpass.protocols import Store


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Where a store is, how much it holds, and which versions wrote it.

    `path` and `schema_version` are None, and `bytes_on_disk` 0, for a store that has no file.
    """

    path: Path | None
    documents: int
    passages: int
    bytes_on_disk: int
    schema_version: int | None
    analyser_version: int


class DescribedStore(Store, Protocol):
    """What an index asks of its store: the contract, and an account of itself."""

    def info(self) -> StoreInfo:
        """Where the store is and how much it holds."""
