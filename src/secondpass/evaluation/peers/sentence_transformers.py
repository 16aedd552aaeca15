"""sentence-transformers as people use it: CrossEncoder.predict with its defaults."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.evaluation.peers.files import with_special_tokens
from secondpass.evaluation.peers.table import Task, module
from secondpass.evaluation.plain import fingerprint
from secondpass.evaluation.prose import passages

CALIBRATION_ROWS = 100


@dataclass(frozen=True, slots=True)
class Predicting:
    """A CrossEncoder that gives logits."""

    model: Any
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        pairs = [(query, text) for text in texts]
        found: list[float] = self.model.predict(pairs, show_progress_bar=False).tolist()
        return found


def load_torch(task: Task) -> Predicting:
    """The default backend."""
    return Predicting(_open(task, task.model, "torch"), "torch fp32, batches of 32 by length")


def load_onnx(task: Task) -> Predicting:
    """Its ONNX backend, quantised by its own function for this kind of processor."""
    folder = _copy(task, "onnx")
    file = "onnx/model_qint8_avx512_vnni.onnx"
    if not (folder / file).is_file():
        module("sentence_transformers").export_dynamic_quantized_onnx_model(
            _open(task, folder, "onnx"), "avx512_vnni", str(folder)
        )
    model = _open(task, folder, "onnx", {"file_name": file})
    return Predicting(model, "ONNX int8, batches of 32 by length")


def load_openvino(task: Task) -> Predicting:
    """Its OpenVINO backend, quantised by its own function with our prose for calibration."""
    folder = _copy(task, "openvino")
    file = "openvino/openvino_model_qint8_quantized.xml"
    if not (folder / file).is_file():
        _quantise_openvino(task, folder)
    model = _open(task, folder, "openvino", {"file_name": file})
    return Predicting(model, "OpenVINO static int8, batches of 32 by length")


def _quantise_openvino(task: Task, folder: Path) -> None:
    lines = folder / "calibration" / "train.txt"
    lines.parent.mkdir(exist_ok=True)
    lines.write_text("\n".join(passages(CALIBRATION_ROWS)), encoding="utf-8")
    model = _open(task, folder, "openvino")
    # Calibration feeds what the tokenizer gives; without all that the graph wants it ends.
    wanted = [one.get_any_name() for one in model.transformers_model.model.inputs]
    model.tokenizer.model_input_names = wanted
    module("sentence_transformers").export_static_quantized_openvino_model(
        model,
        module("optimum.intel").OVQuantizationConfig(num_samples=CALIBRATION_ROWS),
        str(folder),
        dataset_name=str(lines.parent),
        dataset_config_name="default",
        dataset_split="train",
        column_name="text",
    )


def _open(task: Task, folder: Path, backend: str, options: dict[str, Any] | None = None) -> Any:
    torch = module("torch")
    torch.set_num_threads(task.threads)
    return module("sentence_transformers").CrossEncoder(
        str(folder),
        backend=backend,
        device="cpu",
        max_length=task.max_tokens,
        activation_fn=torch.nn.Identity(),
        model_kwargs=options or {},
    )


def _copy(task: Task, backend: str) -> Path:
    """A copy of the checkpoint that the library may write its own files into."""
    folder = task.cache / f"sentence-transformers-{backend}-{fingerprint(task.model)}"
    if not folder.is_dir():
        shutil.copytree(task.model, folder)
    return with_special_tokens(folder, task.max_tokens)
