"""OpenVINO as well as we could tune it: static int8 by NNCF, the graph cut short.

`benchmarks/tune_peers.py` searched for the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.engine.spec import ModelSpec
from secondpass.evaluation.peers.encoding import PairEncoder, Tuning
from secondpass.evaluation.peers.graph import Form, onnx_file
from secondpass.evaluation.peers.table import Task, module
from secondpass.evaluation.prose import QUERY, passages

LARGE = 512  # of models this wide or wider, fewer rows calibrate, or it would take an hour
CALIBRATION_ROWS, OF_LARGE = 100, 16


@dataclass(frozen=True, slots=True)
class Tuned:
    """A compiled model with a queue of requests."""

    queue: Any
    encoder: PairEncoder
    tuning: Tuning

    @property
    def policy(self) -> str:
        """How it computes."""
        return f"static int8, {self.tuning}, first token only at the end"

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        rows = self.encoder.encode(query, texts)
        found = [0.0] * len(rows)

        def keep(request: Any, batch: list[int]) -> None:
            for at, logit in zip(batch, request.get_output_tensor(0).data[:, 0], strict=True):
                found[at] = float(logit)

        self.queue.set_callback(keep)
        for batch in self.tuning.batches(rows):
            self.queue.start_async(self.encoder.arrays([rows[at] for at in batch]), batch)
        self.queue.wait_all()
        return found


def load(task: Task) -> Tuned:
    """Quantises on the first load, with the sentences of our prose for calibration."""
    return tuned(task, Tuning(streams=task.threads, threads=1, tokens=512))


def tuned(task: Task, tuning: Tuning) -> Tuned:
    """The engine with another tuning."""
    openvino = module("openvino")
    options = {
        "NUM_STREAMS": str(tuning.streams),
        "INFERENCE_NUM_THREADS": str(tuning.streams * tuning.threads),
        "PERFORMANCE_HINT": "THROUGHPUT" if tuning.streams > 1 else "LATENCY",
    }
    compiled = openvino.Core().compile_model(_quantised(task), "CPU", options)
    queue = openvino.AsyncInferQueue(compiled, tuning.streams)
    return Tuned(queue, PairEncoder.open(task), tuning)


def _quantised(task: Task) -> Path:
    plain = onnx_file(task, Form(first_only=True))
    folder = plain.with_name("openvino-int8")
    if not folder.is_dir():
        openvino, nncf = module("openvino"), module("nncf")
        encoder = PairEncoder.open(task)
        wide = ModelSpec.read(task.model).hidden >= LARGE
        examples = encoder.encode(QUERY, passages(OF_LARGE if wide else CALIBRATION_ROWS))
        rows = [encoder.arrays([row]) for row in examples]
        quantised = nncf.quantize(
            openvino.Core().read_model(plain),
            nncf.Dataset(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(rows),
        )
        half_done = plain.with_name(".openvino-int8.part")
        shutil.rmtree(half_done, ignore_errors=True)
        openvino.save_model(quantised, half_done / "model.xml", compress_to_fp16=False)
        half_done.rename(folder)
    return folder / "model.xml"
