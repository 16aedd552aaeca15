"""ONNX Runtime as well as we could tune it: int8, attention as one operator, the graph cut short.

`benchmarks/tune_peers.py` searched for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from secondpass.evaluation.peers.encoding import PairEncoder, Tuning
from secondpass.evaluation.peers.graph import Form, int8_file
from secondpass.evaluation.peers.table import Task, module


@dataclass(frozen=True, slots=True)
class Tuned:
    """A session that as many threads call at once as there are streams."""

    session: Any
    encoder: PairEncoder
    pool: ThreadPoolExecutor
    tuning: Tuning

    @property
    def policy(self) -> str:
        """How it computes."""
        return f"int8, {self.tuning}, first token only at the end"

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        rows = self.encoder.encode(query, texts)
        found = [0.0] * len(rows)
        named = {one.name for one in self.session.get_inputs()}

        def score(batch: list[int]) -> None:
            arrays = self.encoder.arrays([rows[at] for at in batch])
            given = {name: value for name, value in arrays.items() if name in named}
            logits = self.session.run(None, given)[0][:, 0]
            for at, logit in zip(batch, logits, strict=True):
                found[at] = float(logit)

        list(self.pool.map(score, self.tuning.batches(rows)))
        return found


def load(task: Task) -> Tuned:
    """Quantises the weights on the first load."""
    return tuned(task, Tuning(streams=task.threads, threads=1, tokens=512))


def tuned(task: Task, tuning: Tuning) -> Tuned:
    """The engine with another tuning."""
    form = Form(first_only=True, contributed=True, masked=tuning.tokens is not None)
    runtime = module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = tuning.threads
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    file = str(int8_file(task, form))
    session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Tuned(session, PairEncoder.open(task), ThreadPoolExecutor(tuning.streams), tuning)
