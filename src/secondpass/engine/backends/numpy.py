"""The forward pass in float32, short enough to read: layers.py, and late_join.py for late joins.

It is the oracle that faster backends are tested against, and the backend where no compiler was. In
the last layer only the first token is computed where the head reads nothing else.

    batch -> packs of rows of one length -> states -> first token -> head -> logits
                                                   -> first token or mean -> vectors
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.backends.late_join import query_lengths, read_late
from secondpass.engine.backends.layers import Floats, Layers, ranking_head
from secondpass.engine.checkpoint import Weights
from secondpass.engine.compute import Compute
from secondpass.engine.encoder_spec import Pooling
from secondpass.engine.spec import ModelSpec
from secondpass.protocols import Batch

PACK_TOKENS = 512  # the widest activation of a pack should stay in a core's second-level cache


class NumpyBackend:
    """A cross-encoder's forward pass; there is nothing to choose about it."""

    def __init__(self, spec: ModelSpec, weights: Weights, compute: Compute | None = None) -> None:
        self._layers = Layers(spec, dict(weights.items()))  # widened once, not in every layer

    def forward(self, batch: Batch) -> Floats:
        """Logits, float32[rows]; raises EngineError once the backend is closed.

        InvalidInput for a late-join model's row whose types do not mark two sides.
        """
        weights = self._layers.open_weights()
        logits = np.empty(len(batch.lengths), dtype=np.float32)
        late = self._layers.spec.join_layer > 0
        for rows, ids, types in equal_length_packs(batch):
            if late:
                logits[rows] = self._late(ids, query_lengths(rows, types), weights)
            else:
                states = self._layers.states(ids, types, weights, first_only=True)
                logits[rows] = ranking_head(states[:, 0], weights)
        return logits

    def _late(self, ids: NDArray[np.int32], queries: NDArray[np.intp], weights: Weights) -> Floats:
        """Logits of rows of one length, those with equally long queries together."""
        logits = np.empty(len(ids), dtype=np.float32)
        for length in np.unique(queries):
            same = queries == length
            first_tokens, cosines = read_late(self._layers, ids[same], int(length), weights)
            logits[same] = ranking_head(first_tokens, weights, cosines)
        return logits

    def close(self) -> None:
        """Let go of the weights."""
        self._layers.close()


class NumpyVectors:
    """A bi-encoder's forward pass."""

    def __init__(
        self, spec: ModelSpec, weights: Weights, pooling: Pooling, compute: Compute | None = None
    ) -> None:
        self._layers = Layers(spec, dict(weights.items()))  # widened once, not in every layer
        self._hidden = spec.hidden
        self._first_only = pooling == "cls"

    def encode(self, batch: Batch) -> Floats:
        """Vectors, float32[rows, hidden]; raises EngineError once the backend is closed."""
        weights = self._layers.open_weights()
        vectors = np.empty((len(batch.lengths), self._hidden), dtype=np.float32)
        for rows, ids, types in equal_length_packs(batch):
            states = self._layers.states(ids, types, weights, first_only=self._first_only)
            vectors[rows] = states.mean(axis=1)
        return vectors

    def close(self) -> None:
        """Let go of the weights."""
        self._layers.close()


def equal_length_packs(
    batch: Batch,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]]:
    """Row numbers of one length with their ids and types as [rows, tokens], pack by pack."""
    starts = np.cumsum(batch.lengths) - batch.lengths
    for length in np.unique(batch.lengths):
        same = np.flatnonzero(batch.lengths == length)
        for rows in np.array_split(same, -(-len(same) * int(length) // PACK_TOKENS)):
            at = starts[rows][:, None] + np.arange(length)
            yield rows, batch.ids[at], batch.types[at]
