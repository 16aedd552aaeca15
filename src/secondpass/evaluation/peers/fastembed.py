"""fastembed as people use it: TextCrossEncoder.rerank with its defaults, on an int8 file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.evaluation.peers.files import with_special_tokens
from secondpass.evaluation.peers.graph import INT8, int8_file
from secondpass.evaluation.peers.table import Task, module

NAME = "local/checkpoint"


@dataclass(frozen=True, slots=True)
class Reranking:
    """A TextCrossEncoder."""

    model: Any
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        return [float(score) for score in self.model.rerank(query, list(texts))]


def load(task: Task) -> Reranking:
    """The checkpoint as a custom model."""
    folder = with_special_tokens(int8_file(task).parent, task.max_tokens)
    rerank = module("fastembed.rerank.cross_encoder")
    described = module("fastembed.common.model_description")
    encoder = rerank.TextCrossEncoder
    encoder.add_custom_model(NAME, described.ModelSource(hf=NAME), model_file=INT8)
    model = encoder(NAME, threads=task.threads, specific_model_path=str(folder))
    return Reranking(model, "ONNX int8, batches of 64 as they come")
