"""A guest for programs of pymilvus[model]: its CrossEncoderRerankFunction.

Needs neither pymilvus nor torch: pymilvus asks for no base class, only for the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from secondpass.engine.cross_encoder import DEFAULT_MODEL, CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import check_devices, load

ACTIVATIONS = ("Identity", "Sigmoid")


@dataclass(frozen=True, slots=True)
class RerankResult:
    """One document of an answer: `index` is its position in the documents given."""

    text: str
    score: float
    index: int

    def to_dict(self) -> dict[str, str | float | int]:
        """The three fields, of types that JSON has."""
        return asdict(self)


class CrossEncoderRerankFunction:
    """The shape of pymilvus.model.reranker.CrossEncoderRerankFunction.

    `activation_fct` is Sigmoid or Identity, as torch.nn has them; where it is None, the checkpoint
    says whether its score is a probability or a logit. `device` may only name the CPU, and
    `batch_size` has no effect: scores do not depend on it. Raises what `CrossEncoder.load` raises,
    and InvalidInput for what cannot be done.
    """

    def __init__(
        self,
        model_name: str | Path | CrossEncoder = DEFAULT_MODEL,
        device: str = "",
        batch_size: int = 32,
        activation_fct: object = None,
        *,
        max_tokens: int | None = None,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        check_devices(device or None)
        self.model = load(model_name, max_tokens=max_tokens, revision=revision, offline=offline)
        self.model_name = model_name
        self.device = device
        self.batch_size = batch_size
        self.activation_fct = activation_fct
        self._gives_logits = _activation(activation_fct, self.model) == "identity"

    def __call__(
        self, query: str, documents: Sequence[str], top_k: int | None = 5
    ) -> list[RerankResult]:
        """The `top_k` documents that answer the query best, best first; all where None or 0.

        Ties keep the order of `documents`. Raises InvalidInput as `CrossEncoder.rerank` does.
        """
        if not documents:
            return []
        return [
            RerankResult(
                text=documents[line.index],
                score=line.score if self._gives_logits else line.probability,
                index=line.index,
            )
            for line in self.model.rerank(query, documents, top_k or None)
        ]


def _activation(given: object, model: CrossEncoder) -> str:
    """'identity' or 'sigmoid': what the caller names, a class or an object of it, or the model."""
    if given is None:
        return model.spec.activation
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    if name not in ACTIVATIONS:
        raise InvalidInput(
            f"activation_fct is '{name}'; expected {' or '.join(ACTIVATIONS)} of torch.nn, or None "
            "for the checkpoint's own"
        )
    return name.lower()
