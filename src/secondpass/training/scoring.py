"""What does a model say of lists? Logits of every text, by our engine or by sentence-transformers.

A teacher's name says what loads it: a bundled model, a folder or a hub name by our engine, on the
CPU; 'sentence-transformers:NAME' by that library, any architecture, on a GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.engine.scoring import check_finite
from secondpass.errors import InvalidInput, MissingExtra, ModelError
from secondpass.training.lists import TrainingList

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder as LibraryCrossEncoder

LIBRARY = "sentence-transformers"
PAIRS_AT_ONCE = 512

Logits = NDArray[np.float32]


# (query, text) pairs -> float32 logits, in their order
Score = Callable[[Sequence[tuple[str, str]]], Logits]


def load_score(name: str, *, offline: bool = False) -> Score:
    """What gives pairs the logits of the model that this name means; above are the forms of names.

    Raises ModelError for what cannot be loaded, and MissingExtra without the library.
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix == LIBRARY:
        return LibraryScorer.load(rest, offline=offline).score
    return CrossEncoder.load(name, offline=offline).score


class LibraryScorer:
    """A cross-encoder of sentence-transformers; the library cuts long texts at the model's limit."""

    def __init__(self, model: LibraryCrossEncoder) -> None:
        self._model = model

    @classmethod
    def load(cls, name: str, *, offline: bool) -> LibraryScorer:
        """The model in a folder, or of the hub by its name; no code of the model's is ever run."""
        try:
            from sentence_transformers import CrossEncoder as LibraryCrossEncoder
        except ImportError as error:
            raise MissingExtra(f"the teacher '{LIBRARY}:{name}'", LIBRARY) from error
        try:
            model = LibraryCrossEncoder(name, local_files_only=offline, trust_remote_code=False)
        except Exception as error:  # each of the library's modules raises what it likes
            raise ModelError(
                f"'{name}' cannot be loaded by {LIBRARY}: {error}; expected a folder or hub name of "
                "a cross-encoder"
            ) from error
        if model.num_labels != 1:
            raise ModelError(
                f"'{name}' classifies into {model.num_labels} labels; expected one, the relevance "
                "of the text; choose a checkpoint trained for ranking"
            )
        return cls(model)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        """The raw logits, float32[pairs]."""
        import torch

        found = self._model.predict(
            list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        logits = np.asarray(found, dtype=np.float32)
        check_finite(logits)
        return logits


def score_lists(
    score: Score,
    lists: Sequence[TrainingList],
    on_list: Callable[[int, int], None] | None = None,
) -> list[Logits]:
    """The logits of every list, in order; raises InvalidInput for a query that fills the model."""
    found: list[Logits] = []
    for part in parts(lists):
        found += score_part(score, part)
        if on_list is not None:
            on_list(len(found), len(lists))
    return found


def score_part(score: Score, part: Sequence[TrainingList]) -> list[Logits]:
    """The logits of a few lists, which go through the model together."""
    logits = score([(one.query, text) for one in part for text in one.texts])
    ends = np.cumsum([len(one.texts) for one in part])
    return np.split(logits, ends[:-1])


def score_readable(score: Score, part: Sequence[TrainingList]) -> list[Logits | None]:
    """Like `score_part`, with None for a list whose query fills the model."""
    try:
        return list(score_part(score, part))
    except InvalidInput:
        if len(part) == 1:
            return [None]
    return [found for one in part for found in score_readable(score, [one])]


def parts(lists: Sequence[TrainingList]) -> Iterator[list[TrainingList]]:
    """The lists in their order, some hundred texts at a time."""
    part: list[TrainingList] = []
    texts = 0
    for one in lists:
        part.append(one)
        texts += len(one.texts)
        if texts >= PAIRS_AT_ONCE:
            yield part
            part, texts = [], 0
    if part:
        yield part


def folder_score(folder: Path, precision: str = "auto") -> Score:
    """What gives pairs the logits of the model in a folder, by our engine."""
    return CrossEncoder.load(folder, compute=Compute(precision=precision)).score
