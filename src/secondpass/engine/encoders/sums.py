"""What do the vectors of a text's tokens sum up to? In native code for int8, else by numpy.

Each sum runs over the text's tokens in order, so that it does not depend on other texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.encoders.segment import native_kernels
from secondpass.engine.encoders.static_files import TokenVectors

TOKENS_AT_ONCE = 2048  # of which the vectors still fit the second-level cache

# (ids end to end, how many each text has) -> float32[texts, dimension]
Summing = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]


def summing(vectors: TokenVectors) -> Summing:
    """The fastest way to sum these vectors."""
    kernels, rows, weights = native_kernels(), vectors.rows, vectors.weights
    if kernels is None or rows.dtype != np.int8 or vectors.mapping is not None:
        return NumpySums(vectors)
    levels = np.ascontiguousarray(rows)
    scales = np.ones(len(rows), dtype=np.float32) if weights is None else weights

    def native(ids: NDArray[np.int32], counts: NDArray[np.int32]) -> NDArray[np.float32]:
        sums: NDArray[np.float32] = kernels.sum_rows(ids, counts, levels, scales)
        return sums

    return native


class NumpySums:
    """Sums by numpy, of vectors widened once."""

    def __init__(self, vectors: TokenVectors) -> None:
        self._vectors = vectors.widened()

    def __call__(self, ids: NDArray[np.int32], counts: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32[texts, dimension], zeros for a text without tokens."""
        sums = np.zeros((len(counts), self._vectors.shape[1]), dtype=np.float32)
        ends = np.cumsum(counts, dtype=np.int64)
        begins = ends - counts
        filled = np.flatnonzero(counts)
        first = 0
        while first < len(filled):
            limit = begins[filled[first]] + TOKENS_AT_ONCE
            last = max(first + 1, int(np.searchsorted(ends[filled], limit, side="right")))
            part = filled[first:last]
            begin, end = begins[part[0]], ends[part[-1]]
            gathered = self._vectors[ids[begin:end]]
            sums[part] = np.add.reduceat(gathered, begins[part] - begin, axis=0)
            first = last
        return sums
