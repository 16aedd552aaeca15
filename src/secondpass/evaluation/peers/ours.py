"""secondpass itself, in a process like the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.engine import Compute, CrossEncoder, Limits
from secondpass.evaluation.peers.table import Task


@dataclass(frozen=True, slots=True)
class Ours:
    """A cross-encoder of this package."""

    model: CrossEncoder
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        return [float(logit) for logit in self.model.score([(query, text) for text in texts])]


def load_int8(task: Task) -> Ours:
    """The native backend in int8."""
    return _load(task, Compute("int8", task.threads))


def load_fp32(task: Task) -> Ours:
    """The fastest backend that is there, in float32."""
    from secondpass.engine.backends.table import choose_backend

    backend, _ = choose_backend("auto", None, Compute("fp32", task.threads))
    return _load(task, Compute("fp32", task.threads if backend == "native" else None))


def _load(task: Task, compute: Compute) -> Ours:
    # Long texts are cut like everyone else's, or we alone would read them to the end.
    limits = Limits(
        max_tokens=task.max_tokens, window_tokens=task.max_tokens, long_texts="truncate"
    )
    model = CrossEncoder.load(task.model, offline=True, limits=limits, compute=compute)
    policy = f"{model.backend_name} {model.precision}, packed without padding"
    return Ours(model, policy)
