"""What a store tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from secondpass.protocols import Store
from secondpass.types import EncoderRecord


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Where a store is, how much it holds, and which versions wrote it.

    `path` and `schema_version` are None, and `bytes_on_disk` 0, for a store that has no file.
    `encoder` is what made its vectors, None where it has none.
    """

    path: Path | None
    documents: int
    passages: int
    bytes_on_disk: int
    schema_version: int | None
    analyser_version: int
    encoder: EncoderRecord | None = None


class DescribedStore(Store, Protocol):
    """What an index asks of its store: the contract, and an account of itself.

    `in_process` says whether its searches compute here, or wait for a server or a library's threads.
    """

    in_process: ClassVar[bool]

    def info(self) -> StoreInfo:
        """Where the store is and how much it holds."""
