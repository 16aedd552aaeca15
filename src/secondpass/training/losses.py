"""What does training minimise? A ranking term, a pointwise term, and what a teacher thinks.

ranking    by a loss of sentence-transformers, from the labels: the order within a list
pointwise  binary cross-entropy of each text: sigmoid(score) is the chance of being right
teacher    KL(softmax(scores / temperature) || softmax(logits)), for lists that have scores

The library's losses ask a model for the logits of texts. Here these have been computed already, in
chunks without much padding, and `Given` hands them over: so every term is of the same logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from sentence_transformers.cross_encoder import CrossEncoder, losses
from torch import Tensor, nn
from torch.nn import functional

from secondpass.errors import UnknownName

SHARP = (
    10.0  # makes softmax(labels) choose: between 0 and 1 alone, right would weigh 2.7 times wrong
)
WHOLE = -1  # the library's word for asking for all logits at once


@dataclass(frozen=True, slots=True)
class Weights:
    """How much the terms beside the ranking count, and what a teacher's scores are divided by."""

    pointwise: float = 0.2
    teacher: float = 0.5
    temperature: float = 1.0


class Given(nn.Module):
    """A model for the library's losses whose answer is the logits that were put into it."""

    num_labels = 1

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.zeros(0)

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self.logits.device

    def preprocess(
        self, pairs: Sequence[tuple[str, str]], prompt: str | None = None, task: str | None = None
    ) -> dict[str, Tensor]:
        """The places of the pairs' logits: all of them, in order."""
        return {"places": torch.arange(len(pairs))}

    def forward(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """The logits of these places."""
        return {"scores": self.logits[tokens["places"]]}


class ListLoss(nn.Module):
    """The loss of one step's lists, as terms that the trainer logs and adds up."""

    def __init__(self, model: nn.Module, ranking: str, weights: Weights) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.given = Given()
        self.ranking, self.scale = _ranking(ranking, self.given)

    def forward(
        self,
        features: Sequence[Any],
        labels: Sequence[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> dict[str, Tensor]:
        """The terms, weighed. `features` are chunks of rows, the texts' places, sizes and scores."""
        chunks, places, sizes, scores = features
        return self.terms(logits_of(self.model, chunks, places), sizes, labels, scores)

    def terms(
        self,
        logits: Tensor,
        sizes: Sequence[int],
        labels: Sequence[Tensor],
        scores: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """The terms of lists laid end to end: `sizes` texts, labels and scores (or none) of each."""
        self.given.logits = logits
        names = [""] * len(sizes)
        ranking = self.ranking(
            [names, [[""] * size for size in sizes]], [self.scale * one for one in labels]
        )
        right = torch.cat(list(labels))
        found = {
            "ranking": ranking,
            "pointwise": self.weights.pointwise
            * functional.binary_cross_entropy_with_logits(logits, right),
        }
        told = [
            divergence(mine, teacher / self.weights.temperature)
            for mine, teacher in zip(torch.split(logits, list(sizes)), scores, strict=True)
            if len(teacher)
        ]
        taught = torch.stack(told).sum() / len(sizes) if told else logits.sum() * 0
        return found | {"teacher": self.weights.teacher * taught}


def divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """KL(softmax(targets) || softmax(logits)) of one list."""
    return functional.kl_div(
        functional.log_softmax(logits, dim=0),
        functional.log_softmax(targets, dim=0),
        reduction="sum",
        log_target=True,
    )


def logits_of(model: nn.Module, chunks: Sequence[dict[str, Tensor]], places: Tensor) -> Tensor:
    """float32[texts]: the logits of a step's texts, list after list."""
    found = [model(dict(chunk))["scores"].view(-1) for chunk in chunks]
    return torch.cat(found).float()[places]


def _ranking(name: str, given: Given) -> tuple[nn.Module, float]:
    """A loss of the library over given logits, and the number its labels are multiplied by."""
    if name not in RANKING:
        raise UnknownName("loss", name, RANKING)
    return RANKING[name](cast(CrossEncoder, given))  # it has what the losses use


RANKING: dict[str, Callable[[CrossEncoder], tuple[nn.Module, float]]] = {
    "lambda": lambda given: (losses.LambdaLoss(given, mini_batch_size=WHOLE), 1.0),
    "listnet": lambda given: (losses.ListNetLoss(given, mini_batch_size=WHOLE), SHARP),
    "plistmle": lambda given: (
        losses.PListMLELoss(given, mini_batch_size=WHOLE, respect_input_order=False),
        1.0,
    ),
    "ranknet": lambda given: (losses.RankNetLoss(given, mini_batch_size=WHOLE), 1.0),
}
