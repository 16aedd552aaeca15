"""Pairs to arrays for the engines that read arrays, by the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from secondpass.engine.spec import ModelSpec
from secondpass.evaluation.peers.table import Task

Arrays = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class PairEncoder:
    """A tokenizer that cuts texts to the shared limit, and the names that a graph gives its inputs."""

    tokenizer: Tokenizer
    padding_id: int
    typed: bool

    @classmethod
    def open(cls, task: Task) -> PairEncoder:
        """The encoder of a checkpoint."""
        spec = ModelSpec.read(task.model)
        tokenizer = Tokenizer.from_file(str(task.model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(task.max_tokens, strategy="only_second")
        return cls(tokenizer, spec.padding_id or 0, typed=spec.token_types > 1)

    def encode(self, query: str, texts: Sequence[str]) -> list[Encoding]:
        """Each pair's encoding, without padding."""
        return self.tokenizer.encode_batch([(query, text) for text in texts])

    def arrays(self, rows: Sequence[Encoding]) -> Arrays:
        """int64[rows, longest] of ids, mask and, where the model has them, types."""
        longest = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), longest), self.padding_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row.ids)] = row.ids
            mask[at, : len(row.ids)] = 1
            types[at, : len(row.ids)] = row.type_ids
        named = {"input_ids": ids, "attention_mask": mask}
        return {**named, "token_type_ids": types} if self.typed else named


def budgeted(rows: Sequence[Encoding], *, tokens: int, slack: float) -> list[list[int]]:
    """Batches of row numbers, longest first.

    None has more than `tokens` places, nor a row shorter than 1 - `slack` of its longest.
    """
    batches: list[list[int]] = []
    longest = 0
    for at in sorted(range(len(rows)), key=lambda at: -len(rows[at].ids)):
        fits = batches and (len(batches[-1]) + 1) * longest <= tokens
        if not fits or len(rows[at].ids) < (1 - slack) * longest:
            batches.append([])
            longest = len(rows[at].ids)
        batches[-1].append(at)
    return batches


@dataclass(frozen=True, slots=True)
class Tuning:
    """So many streams of so many threads each, and what a stream gets at once.

    `tokens` bounds a batch of rows of nearly one length; None is a row at a time. Of few rows each
    stream gets its share.
    """

    streams: int
    threads: int
    tokens: int | None
    slack: float = 0.1

    def batches(self, rows: Sequence[Encoding]) -> list[list[int]]:
        """Batches of row numbers, longest first."""
        share = sum(len(row.ids) for row in rows) // self.streams
        return budgeted(rows, tokens=min(self.tokens or 1, share), slack=self.slack)

    def __str__(self) -> str:
        most = "a row at a time" if self.tokens is None else f"sorted, {self.tokens} tokens"
        return f"{most}, {self.streams} x {self.threads} threads"
