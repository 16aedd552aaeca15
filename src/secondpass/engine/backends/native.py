"""The C++ forward pass (folder native/): no padding, int8 or float32, threads over packs of rows.

It reads the same arrays as every backend; what makes it fast is told in ARCHITECTURE.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondpass._native import Model, Options, Shape, kernel_names
from secondpass.engine.checkpoint import StoredWeights
from secondpass.engine.compute import Compute
from secondpass.engine.cores import usable_cores
from secondpass.engine.encoder_spec import Pooling
from secondpass.engine.spec import GELU_TANH, ModelSpec
from secondpass.errors import EngineError, InvalidInput, ModelError, UnknownName
from secondpass.protocols import Batch

INT8_INPUTS = 65_536  # a wider layer could overflow its int32 sums
ACTIVATIONS = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    **dict.fromkeys(GELU_TANH, "gelu_tanh"),
}


class NativeModel:
    """A model's weights laid out for the kernels, and their forward pass with one of the heads."""

    def __init__(
        self, spec: ModelSpec, weights: StoredWeights, compute: Compute, head: str
    ) -> None:
        names = kernel_names()
        if compute.instruction_set not in ("auto", *names):
            raise UnknownName("instruction_set", compute.instruction_set, ["auto", *names])
        options = Options()
        options.precision = compute.precision
        options.instruction_set = compute.instruction_set
        options.threads = usable_cores() if compute.threads is None else compute.threads
        try:
            self._model: Model | None = Model(shape_of(spec, head), weights.stored(), options)
        except ValueError as error:
            raise ModelError(
                f"the native backend cannot load this model: {error}; download it again, or choose "
                "the backend 'numpy'"
            ) from error
        weights.forget_pages()  # all but the embeddings was copied
        self.instruction_set = self._model.instruction_set

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """What the head gives, float32[rows, 1] or float32[rows, hidden].

        Raises EngineError once the model is closed, and InvalidInput for ids, types and lengths
        that it does not have.
        """
        model = self._model
        if model is None:
            raise EngineError("the model is closed; load it again to use it")
        try:
            return model.forward(*map(_int32, (batch.ids, batch.types, batch.lengths)))
        except ValueError as error:
            raise InvalidInput(f"the batch does not fit the model: {error}") from error

    def close(self) -> None:
        """Let go of the weights; calls that are running end as if nothing had happened."""
        self._model = None


class NativeBackend:
    """A cross-encoder on the kernels."""

    def __init__(self, spec: ModelSpec, weights: StoredWeights, compute: Compute) -> None:
        self._model = NativeModel(spec, weights, compute, "logit")
        self.instruction_set = self._model.instruction_set

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Logits, float32[rows]; raises what `NativeModel.run` raises."""
        return self._model.run(batch)[:, 0]

    def close(self) -> None:
        """Let go of the weights."""
        self._model.close()


class NativeVectors:
    """A bi-encoder on the kernels."""

    def __init__(
        self, spec: ModelSpec, weights: StoredWeights, pooling: Pooling, compute: Compute
    ) -> None:
        self._model = NativeModel(spec, weights, compute, pooling)
        self.instruction_set = self._model.instruction_set

    def encode(self, batch: Batch) -> NDArray[np.float32]:
        """Vectors, float32[rows, hidden]; raises what `NativeModel.run` raises."""
        return self._model.run(batch)

    def close(self) -> None:
        """Let go of the weights."""
        self._model.close()


def refusal(spec: ModelSpec, compute: Compute) -> str | None:
    """Why the native backend does not take this model; None where it does."""
    if spec.hidden % spec.heads:
        return f"hidden_size {spec.hidden} is no multiple of {spec.heads} heads"
    if compute.precision != "fp32" and max(spec.hidden, spec.intermediate) > INT8_INPUTS:
        return f"layers wider than {INT8_INPUTS} need precision 'fp32'"
    return None


def shape_of(spec: ModelSpec, head: str) -> Shape:
    """The sizes of a model, as the kernels want to be told them."""
    shape = Shape()
    shape.hidden = spec.hidden
    shape.layers = spec.layers
    shape.join_layer = spec.join_layer
    shape.heads = spec.heads
    shape.intermediate = spec.intermediate
    shape.vocabulary = spec.vocabulary
    shape.positions = spec.positions
    shape.padding_id = -1 if spec.padding_id is None else spec.padding_id
    shape.eps = spec.eps
    shape.activation = ACTIVATIONS[spec.hidden_activation]
    shape.head = head
    shape.outliers = {name: list(channels) for name, channels in (spec.outliers or {}).items()}
    return shape


def _int32(values: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(values, dtype=np.int32)
