"""ONNX Runtime as well as we could tune it: int8, one text at a time, a one-thread session a core.

Rows alone need neither padding nor masks, and sessions of one thread do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from secondpass.evaluation.peers.encoding import PairEncoder
from secondpass.evaluation.peers.graph import Form, int8_file
from secondpass.evaluation.peers.table import Task, module


@dataclass(frozen=True, slots=True)
class Tuned:
    """A session that many threads call at once, each with a row at a time."""

    session: Any
    encoder: PairEncoder
    pool: ThreadPoolExecutor
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        rows = self.encoder.encode(query, texts)
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at].ids))
        found = [0.0] * len(rows)
        named = {one.name for one in self.session.get_inputs()}

        def score(at: int) -> None:
            arrays = self.encoder.arrays([rows[at]])
            given = {name: value for name, value in arrays.items() if name in named}
            found[at] = float(self.session.run(None, given)[0][0, 0])

        list(self.pool.map(score, order))
        return found


def load(task: Task) -> Tuned:
    """Quantises the weights on the first load."""
    path = int8_file(task, Form(first_only=True, contributed=True))
    runtime = module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    policy = f"int8, a row at a time, {task.threads} streams, first token only at the end"
    return Tuned(session, PairEncoder.open(task), ThreadPoolExecutor(task.threads), policy)
