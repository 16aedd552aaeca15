"""OpenVINO as well as we could tune it: static int8, sorted batches, a one-thread stream a core."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.evaluation.peers.encoding import PairEncoder, budgeted
from secondpass.evaluation.peers.graph import Form, onnx_file
from secondpass.evaluation.peers.table import Task, module
from secondpass.evaluation.prose import QUERY, passages

TOKENS, SLACK = 1024, 0.1
CALIBRATION_ROWS = 100


@dataclass(frozen=True, slots=True)
class Tuned:
    """A compiled model with a queue of requests."""

    queue: Any
    encoder: PairEncoder
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        rows = self.encoder.encode(query, texts)
        found = [0.0] * len(rows)

        def keep(request: Any, batch: list[int]) -> None:
            for at, logit in zip(batch, request.get_output_tensor(0).data[:, 0], strict=True):
                found[at] = float(logit)

        self.queue.set_callback(keep)
        for batch in budgeted(rows, tokens=TOKENS, slack=SLACK):
            self.queue.start_async(self.encoder.arrays([rows[at] for at in batch]), batch)
        self.queue.wait_all()
        return found


def load(task: Task) -> Tuned:
    """Quantises on the first load, with the sentences of our prose for calibration."""
    openvino = module("openvino")
    core = openvino.Core()
    compiled = core.compile_model(
        _quantised(task),
        "CPU",
        {
            "NUM_STREAMS": str(task.threads),
            "INFERENCE_NUM_THREADS": str(task.threads),
            "PERFORMANCE_HINT": "THROUGHPUT",
        },
    )
    policy = f"static int8, sorted, {TOKENS} tokens, {task.threads} streams, first token at the end"
    return Tuned(openvino.AsyncInferQueue(compiled, task.threads), PairEncoder.open(task), policy)


def _quantised(task: Task) -> Path:
    plain = onnx_file(task, Form(first_only=True))
    folder = plain.with_name("openvino-int8")
    if not folder.is_dir():
        openvino, nncf = module("openvino"), module("nncf")
        encoder = PairEncoder.open(task)
        examples = encoder.encode(QUERY, passages(CALIBRATION_ROWS))
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
