"""FlashRank as people use it: Ranker.rerank, which puts all texts into one padded batch."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.evaluation.peers.files import with_special_tokens
from secondpass.evaluation.peers.graph import int8_file
from secondpass.evaluation.peers.table import Task, module

NAME = "ms-marco-MiniLM-L-12-v2"  # it takes no other folder than one of its own names
NEAREST = 1 - 2**-24  # its probabilities are float32, in which 1 has no logit


@dataclass(frozen=True, slots=True)
class Ranking:
    """A Ranker."""

    ranker: Any
    request: Any
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        passages = [{"id": at, "text": text} for at, text in enumerate(texts)]
        found = [0.0] * len(passages)
        for passage in self.ranker.rerank(self.request(query=query, passages=passages)):
            found[passage["id"]] = _logit(float(passage["score"]))
        return found


def load(task: Task) -> Ranking:
    """The checkpoint in the place of one of its own models."""
    source = with_special_tokens(int8_file(task).parent, task.max_tokens)
    module("flashrank.Ranker")
    file = module("flashrank.Config").model_file_map[NAME]
    folder = source / "flashrank" / NAME
    if not (folder / file).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for path in source.glob("*.json"):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(int8_file(task), folder / file)
    flashrank = module("flashrank")
    ranker = flashrank.Ranker(NAME, cache_dir=str(folder.parent), max_length=task.max_tokens)
    return Ranking(ranker, flashrank.RerankRequest, "ONNX int8, all texts in one padded batch")


def _logit(probability: float) -> float:
    kept = min(max(probability, 1 - NEAREST), NEAREST)
    return math.log(kept / (1 - kept))
