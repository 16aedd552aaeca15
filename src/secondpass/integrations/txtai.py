"""A guest in txtai: what its Reranker and Similarity pipelines call to score texts.

Needs no txtai, which asks for no base class, only for the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondpass.engine import cross_encoder as engine
from secondpass.engine.scoring import descending, sigmoid
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import load

Scored = list[tuple[int, float]]


class CrossEncoder:
    """The shape of txtai.pipeline.CrossEncoder, for `Reranker(embeddings, CrossEncoder())`.

    `quantize` and `gpu` have no effect: the engine computes on the CPU, in int8 where it can. Raises
    what `CrossEncoder.load` raises.
    """

    def __init__(
        self,
        path: str | Path | engine.CrossEncoder = engine.DEFAULT_MODEL,
        quantize: bool = False,
        gpu: bool = True,
        *,
        max_tokens: int | None = None,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        self.model = load(path, max_tokens=max_tokens, revision=revision, offline=offline)
        self.quantize = quantize
        self.gpu = gpu

    def __call__(
        self,
        query: str | Sequence[str],
        texts: Sequence[str],
        multilabel: bool | None = True,
        workers: int = 0,
        labels: object = None,
    ) -> Scored | list[Scored]:
        """(index into texts, score), best first, ties in their order; of a list of queries a list.

        A score is a probability, with `multilabel=None` a logit, with False the softmax over the
        texts. `workers` has no effect. Raises InvalidInput for labels and as `CrossEncoder.score`.
        """
        if labels:
            raise InvalidInput(
                f"labels={labels!r:.80}; expected None: a model that ranks has one label"
            )
        if isinstance(query, str):
            return self._scored(query, texts, multilabel)
        return [self._scored(each, texts, multilabel) for each in query]

    def _scored(self, query: str, texts: Sequence[str], multilabel: bool | None) -> Scored:
        logits = self.model.score([(query, text) for text in texts]).astype(np.float64)
        scores = logits if multilabel is None else _spread(logits, multilabel)
        return [(int(at), float(scores[at])) for at in descending(logits)]


def _spread(logits: NDArray[np.float64], multilabel: bool) -> NDArray[np.float64]:
    if multilabel or not len(logits):
        return sigmoid(logits)
    powers = np.exp(logits - logits.max())
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares
