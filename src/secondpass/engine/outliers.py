"""Which inputs of a linear layer are too large to share the levels of int8 with the others? Few.

Some channels of a trained model run ten times as high as the rest. A token's int8 scale follows its
largest number, so that they would leave all the others a handful of levels (Dettmers et al. 2022,
arXiv:2208.07339). They are the same for nearly every token: a short calibration text through the
numpy layers shows them, and an int8 engine computes those channels in float32.

a row of text -> largest |value| of each input channel, layer by layer -> the channels that stick out
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.backends.late_join import read_late
from secondpass.engine.backends.layers import Layers, ranking_head
from secondpass.engine.batching import Row
from secondpass.protocols import Backend, Batch

if TYPE_CHECKING:
    from secondpass.engine.checkpoint import StoredWeights
    from secondpass.engine.spec import ModelSpec

MOST_CHANNELS = 8
# Of a logit. Trained models stay below .1; one beyond it owes that to channels that the calibration
# does not catch, or to attention so sharp that a level decides what it looks at.
MOST_ERROR = 0.25
COST = 1.05  # how much finer the scale must get for a channel to be worth its time in float32
WORDS = "embeddings.word_embeddings.weight"
CALIBRATION_TOKENS = 96
# Our own words; what is said matters little, since outliers are a habit of the model.
CALIBRATION = (
    "How does a second pass change the order of search results?",
    "A first stage compares words or vectors and finds some tens of candidates in a few milliseconds. "
    "The second pass reads each candidate together with the question, from the first word to the "
    "last, and gives it one number: how well does this passage answer? In 2024, 37% of the answers "
    "moved up by three places or more, at a cost of $0.02 for 1,000 questions (see table 4).",
    "为什么要重排搜索结果？",
    "第一阶段只比较事先算好的词和向量，几毫秒就能找出几十个候选段落。第二阶段把问题和每个段落放在一起，从头读到尾，"
    "再给出一个分数：这个段落在多大程度上回答了问题？2024年，约37%的答案上升了三位以上；处理1000个问题的成本是0.15元。",
)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a few rows showed of a model: its outliers, in `spec`, and exactly what a head reads.

    `first_tokens` are float32[rows, hidden], `cosines` float32[rows] of a late-join model's sides.
    """

    spec: ModelSpec
    batch: Batch
    first_tokens: NDArray[np.float32]
    cosines: NDArray[np.float32] | None = None


def calibrate(spec: ModelSpec, weights: StoredWeights, rows: Sequence[Row]) -> Calibration:
    """Look at a model while it reads `rows`, which are repeated or cut to one length.

    So each weight is read from its file once, or once a side. Only what sticks out is listed as an
    outlier.
    """
    tokens = min(CALIBRATION_TOKENS, spec.max_tokens)
    ids, types = _one_length(rows, tokens, two_sided=spec.join_layer > 0)
    largest: dict[str, NDArray[np.float32]] = {}

    def observe(linear: str, states: NDArray[np.float32]) -> None:
        seen = np.abs(states).reshape(-1, states.shape[-1]).max(axis=0)
        name = activation_name(linear)
        largest[name] = np.maximum(largest[name], seen) if name in largest else seen

    with_words = _ReadOnce(weights, ids)
    layers = Layers(spec, with_words, observe)
    cosines = None
    with np.errstate(invalid="ignore", over="ignore"):  # its logits will say so, in an error
        if spec.join_layer:
            query_tokens = int(np.count_nonzero(types[0] == 0))
            first_tokens, cosines = read_late(layers, ids, query_tokens, with_words)
        else:
            states = layers.states(ids, types, with_words, first_only=False)
            first_tokens = states[:, 0]
    chosen = {name: stick_out(seen) for name, seen in largest.items()}
    outliers = {name: tuple(channels) for name, channels in chosen.items() if channels}
    lengths = np.full(len(rows), tokens, dtype=np.int32)
    batch = Batch(ids=ids.reshape(-1), types=types.reshape(-1), lengths=lengths)
    return Calibration(replace(spec, outliers=outliers), batch, first_tokens, cosines)


def _one_length(
    rows: Sequence[Row], tokens: int, *, two_sided: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Ids and types of the rows, int32[rows, tokens]: cut or repeated, each side by itself."""
    starts = [int(np.argmax(row.types == 1)) if two_sided else 0 for row in rows]
    start = min(max(starts), tokens // 2)

    def resized(values: NDArray[np.int32], at: int) -> NDArray[np.int32]:
        parts = np.resize(values[:at], start), np.resize(values[at:], tokens - start)
        return np.concatenate(parts)

    ids = [resized(row.ids, at) for row, at in zip(rows, starts, strict=True)]
    types = [resized(row.types, at) for row, at in zip(rows, starts, strict=True)]
    return np.stack(ids), np.stack(types)


def logit_error(calibration: Calibration, weights: StoredWeights, backend: Backend) -> float:
    """How far the backend's logits are from exact ones on the rows of the calibration, at most."""
    exact = ranking_head(calibration.first_tokens, weights, calibration.cosines)
    return float(np.abs(backend.forward(calibration.batch) - exact).max())


def stick_out(largest: NDArray[np.float32]) -> list[int]:
    """The channels to take out, ascending: as many as make what remains finest for its cost."""
    order = np.argsort(-largest, kind="stable")[: MOST_CHANNELS + 1]
    remaining = largest[order] * COST ** np.arange(len(order))
    return sorted(int(channel) for channel in order[: int(np.argmin(remaining))])


def activation_name(linear: str) -> str:
    """The activation that the linear layer `linear` reads; query, key and value read the same."""
    owner, _, last = linear.rpartition(".")
    return owner if last in ("query", "key", "value") else linear


class _ReadOnce(Mapping[str, NDArray[np.float32]]):
    """A checkpoint's weights for one pass over a few tokens.

    Of the word embeddings only the rows of these tokens are read; the other rows are zeros that no
    memory was spent on, for the system hands out a page when it is first written.
    """

    def __init__(self, weights: StoredWeights, ids: NDArray[np.int32]) -> None:
        self._weights = weights
        self._words = np.zeros(weights.shape(WORDS), dtype=np.float32)
        used = np.unique(ids)
        self._words[used] = weights.rows(WORDS, used)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._words if name == WORDS else self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
