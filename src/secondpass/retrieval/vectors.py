"""Vectors: which may be stored, and which of those are nearest to that of a query.

Vectors are stored at length 1, so that their inner product with another such is the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InvalidInput
from secondpass.types import EncoderRecord, IndexedDocument

# Of length 1 as far as float32 can say; such a vector is stored to the bit as it came.
_LENGTH_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some of a store's vectors: `numbers` int64[n], ascending, `vectors` float32[n, dimension].

    A higher number was added later. Nothing in a block ever changes.
    """

    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.numbers)


def with_unit_vectors(document: IndexedDocument, record: EncoderRecord) -> IndexedDocument:
    """The document with its vectors at length 1.

    InvalidInput, naming the passage, unless each passage has a vector of the recorded dimension
    that is finite and not zero.
    """
    ids = [passage.id for passage in document.passages]
    vectors = document.vectors
    if vectors is None:
        if not ids:
            return document
        raise InvalidInput(
            f"document '{document.id}' comes without vectors; expected one a passage of encoder "
            f"'{record.name}', as the store's others have; encode its passages"
        )
    shape = (len(ids), record.dimension)
    if vectors.dtype != np.float32 or vectors.shape != shape:
        raise InvalidInput(
            f"the vectors of document '{document.id}'{_first(ids)} are {vectors.dtype}"
            f"{list(vectors.shape)}; expected float32{list(shape)}, one a passage of encoder "
            f"'{record.name}'; encode its passages with that one"
        )
    return replace(document, vectors=_unit(vectors, [f"passage '{id}'" for id in ids]))


def _first(ids: Sequence[str]) -> str:
    return f", first passage '{ids[0]}'," if ids else ""


def _unit(vectors: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """The rows at length 1; InvalidInput, by its name, for one that is not finite or zero."""
    wide = vectors.astype(np.float64)
    # The largest number goes first, so that no square overflows or vanishes.
    largest = np.abs(wide).max(axis=1, initial=0.0)
    bad = np.flatnonzero(~np.isfinite(largest) | (largest == 0))
    if bad.size:
        what = "zero" if largest[bad[0]] == 0 else "not finite"
        raise InvalidInput(
            f"the vector of {names[bad[0]]} is {what}; expected finite numbers that are not all 0, "
            "for its cosine to mean something; check the text and the encoder"
        )
    lengths = np.sqrt(np.square(wide / largest[:, None]).sum(axis=1)) * largest
    off = np.abs(lengths - 1) > _LENGTH_TOLERANCE
    unit = vectors.copy()
    unit[off] = (wide[off] / lengths[off, None]).astype(np.float32)
    return unit


def unit_query(vector: NDArray[np.float32], record: EncoderRecord) -> NDArray[np.float32]:
    """A query's vector at length 1; InvalidInput unless it has the dimension and is no zero or NaN."""
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float32:
        raise InvalidInput(
            f"the query's vector is {getattr(vector, 'dtype', type(vector).__name__)}; expected "
            f"float32[{record.dimension}]; take a row of what encode_queries returns"
        )
    if vector.shape != (record.dimension,):
        raise InvalidInput(
            f"the query's vector has shape {list(vector.shape)}; expected [{record.dimension}], as "
            f"encoder '{record.name}' makes them; encode the query with that one"
        )
    unit: NDArray[np.float32] = _unit(vector[None, :], ["the query"])[0]
    return unit


def nearest(
    blocks: Sequence[Block],
    query: NDArray[np.float32],
    depth: int,
    allowed: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """At most `depth` (number, cosine), best first, ties by number.

    `query` is of length 1. `allowed` are the numbers that may be found, ascending; None for all.
    """
    if depth < 1 or not blocks:
        return []
    scores = np.concatenate([block.vectors @ query for block in blocks])
    if allowed is not None:
        numbers = np.concatenate([block.numbers for block in blocks])
        scores[~np.isin(numbers, allowed, assume_unique=True)] = -np.inf
    # The product rounds a row by where it stands in its block, so equal vectors may differ a
    # little. It chooses those that may be among the best; their order is by a sum that is the same
    # anywhere.
    least = -1.5
    if depth < len(scores):
        margin = 4e-7 * np.sqrt(len(query)) + 1e-6
        least = max(least, np.partition(scores, -depth)[-depth] - margin)
    close = scores >= least
    found, exact = _exact(blocks, query, close)
    order = np.lexsort((found, -exact))[:depth]
    return [(int(found[at]), float(exact[at])) for at in order]


def _exact(
    blocks: Sequence[Block], query: NDArray[np.float32], close: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The numbers of the rows that are close, and their cosines, each by its own row alone."""
    wide = query.astype(np.float64)
    ends = np.cumsum([len(block) for block in blocks])
    numbers, scores = [], []
    for block, end in zip(blocks, ends, strict=True):
        rows = np.flatnonzero(close[end - len(block) : end])
        numbers.append(block.numbers[rows])
        scores.append((block.vectors[rows].astype(np.float64) * wide).sum(axis=1))
    return np.concatenate(numbers), np.concatenate(scores)
