"""Second-pass ranking: put the candidates that answer a query best on top.

The names below load on first use, so that `import secondpass` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondpass.engine.bi_encoder import BiEncoder
    from secondpass.engine.cross_encoder import CrossEncoder
    from secondpass.errors import SecondpassError
    from secondpass.ingest import load, split
    from secondpass.library import Index
    from secondpass.pipeline import Pipeline
    from secondpass.types import Candidate, Document, Hit, Passage, Range, Ranked

    __version__: str

__all__ = [
    "BiEncoder",
    "Candidate",
    "CrossEncoder",
    "Document",
    "Hit",
    "Index",
    "Passage",
    "Pipeline",
    "Range",
    "Ranked",
    "SecondpassError",
    "load",
    "split",
]

_MODULES = {
    "BiEncoder": "engine.bi_encoder",
    "Candidate": "types",
    "CrossEncoder": "engine.cross_encoder",
    "Document": "types",
    "Hit": "types",
    "Index": "library",
    "Passage": "types",
    "Pipeline": "pipeline",
    "Range": "types",
    "Ranked": "types",
    "SecondpassError": "errors",
    "load": "ingest",
    "split": "ingest",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("secondpass")
    if name not in _MODULES:
        raise AttributeError(f"module 'secondpass' has no attribute '{name}'")
    value: object = getattr(import_module(f"secondpass.{_MODULES[name]}"), name)
    globals()[name] = value  # the next access finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
