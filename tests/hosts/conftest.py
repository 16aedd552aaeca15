"""The model that the tests of all hosts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.register_assert_rewrite("hosts.conformance")

from hosts.conformance import Paced, Pulse  # noqa: E402  # the line above must come first
from secondpass.engine.cross_encoder import CrossEncoder  # noqa: E402


@pytest.fixture(scope="session")
def tiny(checkpoint: Callable[[str], Path]) -> Path:
    """The folder of a small cross-encoder."""
    return checkpoint("bert")


@pytest.fixture(scope="session")
def model(tiny: Path) -> CrossEncoder:
    """A model to hand to a guest; its passes wait for the heart of check_concurrent_calls."""
    loaded = CrossEncoder.load(tiny)
    return replace(loaded, backend=Paced(loaded.backend, Pulse()))
