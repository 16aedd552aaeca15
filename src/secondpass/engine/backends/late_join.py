"""A late-join model's forward pass in float32: query and passage apart first, together above.

PreTTR (MacAvaney et al. 2020, arXiv:2004.14255) and DeFormer (Cao et al. 2020, arXiv:2005.00697).
Each side counts its positions from 0. A token that joins is told its side, and whether the other
side has its id too.

    query   -> embed -> encoder layers -> apart layers -> mean -> length 1 -+-> cosine
    passage -> embed -> encoder layers -> apart layers -> mean -> length 1 -+
    both    ------------------> + side -> encoder layers from join_layer on -> first token
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.backends.layers import Floats, Layers
from secondpass.engine.checkpoint import Weights
from secondpass.errors import InvalidInput

Ids = NDArray[np.int32]
LEAST_LENGTH = np.float32(1e-12)  # of a mean; a shorter one is divided by this, as torch does


def query_lengths(rows: NDArray[np.intp], types: Ids) -> NDArray[np.intp]:
    """How many tokens each row's query side has, by its types[rows, tokens].

    Raises InvalidInput, with the row's number, for types that are not 0...0 1...1.
    """
    good = (types[:, 0] == 0) & (types[:, -1] == 1) & (np.diff(types, axis=1) >= 0).all(axis=1)
    if not good.all():
        at = int(np.argmin(good))
        raise InvalidInput(
            f"the token types of row {rows[at]} are {types[at].tolist()!s:.80}; expected 0 for the "
            "query's tokens, then 1 for the passage's; join the sides by the tokenizer's template"
        )
    lengths: NDArray[np.intp] = np.count_nonzero(types == 0, axis=1)
    return lengths


def read_late(
    layers: Layers, ids: Ids, query_tokens: int, weights: Weights
) -> tuple[Floats, Floats]:
    """The first tokens' last states, float32[rows, hidden], and the cosines, float32[rows].

    All rows have one length, and `query_tokens` of them belong to the query.
    """
    join, last = layers.spec.join_layer, layers.spec.layers - 1
    sides = (ids[:, :query_tokens], ids[:, query_tokens:])
    below = [
        layers.run(
            "encoder", range(join), layers.embed(side, np.zeros_like(side), weights), weights
        )
        for side in sides
    ]
    query, passage = (
        _of_length_one(layers.run("apart", range(join, last + 1), states, weights).mean(axis=1))
        for states in below
    )
    states = np.concatenate(below, axis=1)
    states += weights["join.sides.weight"][_kinds(*sides)]
    states = layers.run("encoder", range(join, last), states, weights)
    states = layers.layer(f"encoder.layer.{last}.", states[:, :1], states, weights)
    return states[:, 0], (query * passage).sum(axis=1)


def _kinds(query: Ids, passage: Ids) -> NDArray[np.intp]:
    """The row of join.sides for each token: twice its side, and one where it is on the other too."""
    same = query[:, :, None] == passage[:, None, :]
    return np.concatenate((same.any(axis=2), 2 + same.any(axis=1)), axis=1, dtype=np.intp)


def _of_length_one(vectors: Floats) -> Floats:
    lengths = np.sqrt(np.sum(vectors * vectors, axis=1, keepdims=True))
    scaled: Floats = vectors / np.maximum(lengths, LEAST_LENGTH)
    return scaled
