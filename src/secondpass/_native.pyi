"""The native kernels of secondpass; absent where no compiler was there at install."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]:
    """The vector instruction sets that this processor and operating system can run, by name.

    Of sse4.2, avx2, fma, avx_vnni, avx512f, avx512bw, avx512vl, avx512_vnni, avx512_bf16, amx_tile
    and amx_int8 on x86, of neon, dotprod and i8mm on ARM, in this order; empty elsewhere.
    """

def kernel_names() -> list[str]:
    """The instruction sets that a Model can be told to use here, best first; the last is portable."""

def peaks(threads: int) -> dict[str, float]:
    """What the multipliers reach in registers alone, all threads together, in 10^9 a second.

    `int8_gops` and `fp32_gflops`; a multiplication and its addition are two operations.
    """

class Shape:
    """The sizes of a model. `activation` is gelu, gelu_tanh, quick_gelu, relu or silu.

    `head` is logit, cls or mean. `join_layer` is 0, or the first layer that reads query and passage
    together. `outliers` are the channels that int8 leaves in float32, by the name
    of the linear layer that reads them; query, key and value are one, named without its last part.
    """

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    padding_id: int
    eps: float
    activation: str
    head: str
    join_layer: int
    outliers: Mapping[str, Sequence[int]]

class Options:
    """How a model is to be computed: precision fp32 or int8, an instruction set or auto."""

    precision: str
    instruction_set: str
    threads: int

class Model:
    """An encoder with its head; many threads may use one. ValueError for what does not fit together."""

    def __init__(
        self, shape: Shape, tensors: Mapping[str, NDArray[np.generic]], options: Options
    ) -> None: ...
    @property
    def instruction_set(self) -> str:
        """The instruction set in use."""

    def forward(
        self, ids: NDArray[np.int32], types: NDArray[np.int32], lengths: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """What the head gives for rows laid end to end.

        Logits as float32[rows, 1], or vectors as float32[rows, hidden].
        """

class Unigram:
    """Cuts texts into Unigram pieces, words apart, each behind U+2581; many threads may use one.

    `ascii` has 128 bytes: what each ASCII character becomes, 255 for one that is dropped.
    """

    def __init__(
        self, pieces: Sequence[str], scores: Sequence[float], unknown: int, ascii: bytes
    ) -> None: ...
    def encode(self, texts: list[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of the texts (UTF-8) end to end, without unknown ones, and how many each has."""

def sum_rows(
    ids: NDArray[np.int32],
    counts: NDArray[np.int32],
    levels: NDArray[np.int8],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The sum of each text's rows `levels[id] * weights[id]`, float32[texts, dimension]."""
