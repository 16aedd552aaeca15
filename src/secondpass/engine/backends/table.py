"""Which backends there are: one table, name -> where its class lives."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from secondpass.errors import UnknownName

if TYPE_CHECKING:
    from secondpass.engine.checkpoint import Weights
    from secondpass.engine.spec import ModelSpec
    from secondpass.protocols import Backend

BACKENDS = {"numpy": "secondpass.engine.backends.numpy:NumpyBackend"}


def choose_backend(name: str) -> str:
    """The name of the backend to use: `name` itself, or for 'auto' the fastest that is there."""
    if name == "auto":
        return "numpy"
    if name not in BACKENDS:
        raise UnknownName("backend", name, ["auto", *BACKENDS])
    return name


def build_backend(name: str, spec: ModelSpec, weights: Weights) -> Backend:
    """The backend `name` with the model in it; raises UnknownName."""
    module, _, attribute = BACKENDS[choose_backend(name)].partition(":")
    backend: Backend = getattr(import_module(module), attribute)(spec, weights)
    return backend
