"""What makes vectors, by name: a folder or a name of the hub."""

from __future__ import annotations

from pathlib import Path

from secondpass.engine.bi_encoder import BiEncoder
from secondpass.protocols import Encoder


def load_encoder(
    name: str | Path, *, offline: bool = False, revision: str | None = None
) -> Encoder:
    """The encoder with this name; errors as those of `BiEncoder.load`."""
    return BiEncoder.load(name, offline=offline, revision=revision)
