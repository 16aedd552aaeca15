"""How are weights kept in a quarter of the space? int8 with one scale a row.

A matrix W[rows, columns] is stored as round(W / scale[row]) with scale[row] = max|W[row]| / 127,
so that the largest weight of a row is exact to rounding and zero stays zero. A row of a linear
layer is one output channel, a row of an embedding table one token. Vectors (biases, LayerNorm) and
the head's last layer stay in float32: together they are less than a thousandth of a model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALE = ".scale"  # the scales of tensor `name` are stored as `name.scale`
LEVELS = 127


def quantise_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8[rows, columns] and float32[rows] whose product is `matrix`, to half a level a weight."""
    largest = np.abs(matrix).max(axis=1)
    # Below, a scale would be subnormal or zero, and a level off by more than a half.
    scales = np.where(largest > 1e-30, largest / LEVELS, 1.0).astype(np.float32)
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales


def dequantise_rows(levels: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """The float32 matrix that `quantise_rows` stored."""
    return levels.astype(np.float32) * scales[:, None]
