"""What is a good order of a list? Losses over lists whose first place holds the right passage.

Shapes: logits, teacher and mask are [lists, places]; mask is True where there is a passage.
`soft` float[lists] weighs the teacher's word, 0 where it has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NEVER = -1e4  # stands for minus infinity, which would make 0 * inf


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts, and how sharp the teacher's opinion is."""

    right: float = 1.0
    teacher: float = 0.5
    pointwise: float = 0.2
    sharpness: float = 2.0


def right_first(logits: Tensor, mask: Tensor) -> Tensor:
    """float[lists]: cross-entropy of the first place against the whole list."""
    return -functional.log_softmax(logits.masked_fill(~mask, NEVER), dim=1)[:, 0]


def divergence(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """float[lists]: KL(softmax(targets) || softmax(logits))."""
    target = functional.log_softmax(targets.masked_fill(~mask, NEVER), dim=1)
    ours = functional.log_softmax(logits.masked_fill(~mask, NEVER), dim=1)
    return (target.exp() * (target - ours)).masked_fill(~mask, 0).sum(1)


def pointwise(logits: Tensor, mask: Tensor) -> Tensor:
    """float[lists]: binary cross-entropy; the right passage weighs as much as all others."""
    right = functional.softplus(-logits[:, 0])
    others = functional.softplus(logits[:, 1:]).masked_fill(~mask[:, 1:], 0).sum(1)
    return 0.5 * right + 0.5 * others / mask[:, 1:].sum(1).clamp(min=1)


def ranking_loss(
    logits: Tensor, teacher: Tensor, mask: Tensor, soft: Tensor, weights: Weights
) -> Tensor:
    """The mean over the lists of what training a ranker minimises."""
    loss = weights.right * right_first(logits, mask) + weights.pointwise * pointwise(logits, mask)
    told = divergence(logits, weights.sharpness * teacher, mask)
    return (loss + weights.teacher * soft * told).mean()


def distilling_loss(logits: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The mean over the lists of how far a smaller model is from its teacher's logits.

    The order within a list counts most; the difference of the logits themselves keeps the
    probabilities; a little of the truth corrects the teacher.
    """
    order = divergence(logits, teacher, mask)
    level = (
        functional.smooth_l1_loss(logits, teacher, reduction="none").masked_fill(~mask, 0).sum(1)
    )
    level = level / mask.sum(1)
    return (order + 0.1 * level + 0.1 * right_first(logits, mask)).mean()


def ndcg_of_first(logits: Tensor, mask: Tensor, depth: int = 10) -> Tensor:
    """float[lists]: nDCG@depth where only the first place is right; ties count against it."""
    others = logits[:, 1:].masked_fill(~mask[:, 1:], float("-inf"))
    rank = 1 + (others >= logits[:, :1]).sum(1)
    gain = 1 / torch.log2(1 + rank.float())
    return torch.where(rank <= depth, gain, torch.zeros_like(gain))
