"""How are weights kept in a quarter of the space, or an eighth? int8 by rows, 4 bits by blocks.

A matrix W[rows, columns] is stored as round(W / scale[row]) with scale[row] = max|W[row]| / 127,
so that the largest weight of a row is exact to rounding and zero stays zero. A row of a linear
layer is one output channel, a row of an embedding table one token. Vectors (biases, LayerNorm) and
the head's last layer stay in float32: together they are less than a thousandth of a model.

Weights that came in 4 bits, blocks of 32 of a row that share a float16 scale, are kept as they came,
to the bit: W = level * scale with levels from -8 to 7, that of GGUF's Q4_0. A byte holds the level
of weight i of its block in the lower half and that of weight i + 16 in the upper, each plus 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALE = ".scale"  # the scales of tensor `name` are stored as `name.scale`
LEVELS = 127
BLOCK = 32  # weights that share a scale
LOWEST = -8  # of the levels of 4 bits


def quantise_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8[rows, columns] and float32[rows] whose product is `matrix`, to half a level a weight."""
    largest = np.abs(matrix).max(axis=1)
    # Below, a scale would be subnormal or zero, and a level off by more than a half.
    scales = np.where(largest > 1e-30, largest / LEVELS, 1.0).astype(np.float32)
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales


def dequantise_rows(levels: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """The float32 matrix that `quantise_rows` stored."""
    return levels.astype(np.float32) * scales[:, None]


def exact_blocks(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float16]] | None:
    """uint8[rows, columns / 2] and float16[rows, columns / 32] that are `matrix` exactly, or None."""
    rows, columns = matrix.shape
    if columns % BLOCK:
        return None
    blocks = matrix.reshape(-1, BLOCK)
    steps = np.count_nonzero(np.diff(np.sort(blocks, axis=1), axis=1), axis=1)
    if steps.max(initial=0) >= 2 * -LOWEST:
        return None  # more values than levels: never was in 4 bits
    places = np.arange(len(blocks))
    largest = blocks[places, np.abs(blocks).argmax(axis=1)]
    levels = np.zeros(blocks.shape, np.int8)
    scales = np.zeros(len(blocks), np.float16)
    left = places[largest != 0]
    for level in (*range(LOWEST, 0), *range(1, -LOWEST)):  # which the largest may have
        with np.errstate(over="ignore"):
            scale = (largest[left] / level).astype(np.float16)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.rint(blocks[left] / scale.astype(np.float32)[:, None])
            same = found * scale.astype(np.float32)[:, None] == blocks[left]
        fits = (same & (found >= LOWEST) & (found < -LOWEST)).all(axis=1)
        levels[left[fits]], scales[left[fits]] = found[fits], scale[fits]
        left = left[~fits]
    if len(left):
        return None
    nibbles = (levels - LOWEST).astype(np.uint8)
    halves = nibbles[:, : BLOCK // 2] | nibbles[:, BLOCK // 2 :] << np.uint8(4)
    return halves.reshape(rows, -1), scales.reshape(rows, -1)


def expand_blocks(halves: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
    """The float32 matrix that `exact_blocks` stored."""
    pairs = halves.reshape(-1, BLOCK // 2)
    levels = np.concatenate([pairs & 15, pairs >> 4], axis=1).astype(np.float32) + LOWEST
    return (levels * scales.reshape(-1, 1).astype(np.float32)).reshape(len(halves), -1)
