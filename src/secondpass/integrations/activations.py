"""What makes a score of a logit, in the shape of torch's activations and without torch where it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.engine.scoring import sigmoid
from secondpass.errors import InvalidInput, MissingExtra

EXTRA = "sentence-transformers"

Activation = Callable[[Any], Any]


def Sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N802  # torch's name
    """The sigmoid of logits, as torch.nn.Sigmoid gives it, without torch."""
    return sigmoid(logits).astype(np.float32)


def Identity(logits: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N802  # torch's name
    """The logits themselves, as torch.nn.Identity gives them, without torch."""
    return logits


def default_activation(model: CrossEncoder) -> Activation:
    """The activation that the checkpoint names."""
    return Identity if model.spec.activation == "identity" else Sigmoid


def activated(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """The activation of each logit; one of torch is handed a tensor[pairs, 1], as in the host."""
    if activation in (Sigmoid, Identity):
        return np.asarray(activation(logits), dtype=np.float32)
    library = torch()
    with library.inference_mode():
        scores = activation(library.from_numpy(logits).unsqueeze(-1))
        found = np.asarray(scores.detach().float().cpu().numpy(), dtype=np.float32).reshape(-1)
    if found.shape != logits.shape:
        raise InvalidInput(
            f"activation_fn made {len(found)} scores of {len(logits)} logits; expected one of each"
        )
    return found


def torch() -> Any:
    """The package torch; MissingExtra where it is not installed."""
    try:
        import torch as library
    except ImportError as error:
        raise MissingExtra("a tensor or an activation of torch", EXTRA) from error
    return library
