"""libembedding-ng: its Reranker over ONNX Runtime in C++, on an int8 file.

It joins query and text to one text with the letters '[SEP]' between, which its tokenizer reads as
words: its logits are near ours, and not ours.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.engine.spec import read_json
from secondpass.errors import InvalidInput
from secondpass.evaluation.peers.files import with_special_tokens
from secondpass.evaluation.peers.graph import int8_file
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
    """The checkpoint as a folder with model.onnx."""
    kind = read_json(task.model / "tokenizer.json")["model"]["type"]
    if kind != "WordPiece":
        raise InvalidInput(
            f"the checkpoint's tokenizer is '{kind}'; expected 'WordPiece', which is all that "
            "libembedding has, and with anything else it scores other tokens; leave the engine out"
        )
    source = with_special_tokens(int8_file(task).parent, task.max_tokens)
    folder = source / "libembedding"
    if not (folder / "model.onnx").is_file():
        folder.mkdir(exist_ok=True)
        for path in source.glob("*.json"):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(int8_file(task), folder / "model.onnx")
    reranker = module("libembedding").Reranker(
        str(folder), threads=task.threads, max_length=task.max_tokens, offline=True
    )
    return Reranking(reranker, "ONNX int8, its defaults (batches of 256)")
