"""kjarni, an engine in Rust: its Reranker, pointed at a folder through its C interface."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_void_p
from dataclasses import dataclass
from typing import Any

from secondpass.evaluation.peers.table import Task, module


@dataclass(frozen=True, slots=True)
class Reranking:
    """A Reranker."""

    reranker: Any
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        found = [0.0] * len(texts)
        for result in self.reranker.rerank(query, list(texts)):
            found[result.index] = float(result.score)
        return found


def load(task: Task) -> Reranking:
    """The checkpoint by its path, which the Python class has no argument for."""
    reranker = module("kjarni.reranker")
    library = module("kjarni._ffi")
    config = library._lib.kjarni_reranker_config_default()
    config.model_path = str(task.model).encode()
    config.quiet = 1
    handle = c_void_p()
    library.check_error(library._lib.kjarni_reranker_new(byref(config), byref(handle)))
    opened = reranker.Reranker.__new__(reranker.Reranker)
    opened._handle = handle
    return Reranking(opened, "fp32, its defaults")
