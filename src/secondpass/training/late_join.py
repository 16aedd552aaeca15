"""A late join as transformers trains it, and sentence-transformers through it.

A pair is one padded row; two attention masks, one of each side alone and one of both, make the
lower and the upper layers of it. What lies below the join stays as it came, for it is the
bi-encoder's (PreTTR, arXiv:2004.14255; DeFormer, arXiv:2005.00697).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertPooler

MODEL_TYPE = "late-join-bert"


class LateJoinConfig(BertConfig):
    """A BERT whose layers from `join_layer` on read both sides together."""

    model_type = MODEL_TYPE

    join_layer: int = 0


class Layers(nn.Module):
    """Layers under the numbers that their names have in the checkpoint."""

    def __init__(self, config: LateJoinConfig, numbers: range) -> None:
        super().__init__()
        self.layer = nn.ModuleDict({str(at): BertLayer(config, at) for at in numbers})

    def forward(self, x: Tensor, mask: Tensor, numbers: range) -> Tensor:
        """The states after these layers; `mask` bool[rows, 1, tokens, tokens] says who sees whom."""
        for at in numbers:
            out = self.layer[str(at)](x, attention_mask=mask)
            x = out[0] if isinstance(out, tuple) else out
        return x


class Join(nn.Module):
    """What is added at the join: a vector by side and by whether the other side has the token."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.sides = nn.Embedding(4, hidden)
        self.cosine = nn.Parameter(torch.zeros(1))


class LateJoinEncoder(nn.Module):
    """Everything but the classifier, under the names of the checkpoint."""

    def __init__(self, config: LateJoinConfig) -> None:
        super().__init__()
        self.join_layer, self.layers = config.join_layer, config.num_hidden_layers
        self.embeddings = BertEmbeddings(config)
        self.encoder = Layers(config, range(self.layers))
        self.apart = Layers(config, range(self.join_layer, self.layers))
        self.join = Join(config.hidden_size)
        self.pooler = BertPooler(config)

    def below(self, ids: Tensor, types: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """What reads each side alone: the states at the join, and the last ones, of the bi-encoder.

        Of ids, sides and validity, each [rows, tokens]; states are [rows, tokens, hidden].
        """
        first = ((types == 0) & kept).sum(1, keepdim=True)
        places = torch.arange(ids.shape[1], device=ids.device)
        positions = torch.where(types == 1, places - first, places).clamp(min=0)
        x = self.embeddings(
            input_ids=ids, token_type_ids=torch.zeros_like(ids), position_ids=positions
        )
        alone = _seeing(_both(kept) & _same(types))
        x = self.encoder(x, alone, range(self.join_layer))
        return x, self.apart(x, alone, range(self.join_layer, self.layers))

    def above(self, states: Tensor, ids: Tensor, types: Tensor, kept: Tensor) -> Tensor:
        """What reads both sides together, from the states at the join: pooled, [rows, hidden]."""
        both = _both(kept)
        seen = ((ids[:, :, None] == ids[:, None, :]) & both & ~_same(types)).any(2)
        x = states + self.join.sides(2 * types + seen.long())
        x = self.encoder(x, _seeing(both), range(self.join_layer, self.layers))
        return self.pooler(x)  # type: ignore[no-any-return]


def _both(kept: Tensor) -> Tensor:
    return kept[:, None, :] & kept[:, :, None]


def _same(types: Tensor) -> Tensor:
    return types[:, None, :] == types[:, :, None]


def _seeing(mask: Tensor) -> Tensor:
    """The mask as layers take it; a padding token sees itself, so that no row of it is empty."""
    itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return (mask | itself)[:, None]


def cosine_of(last: Tensor, types: Tensor, kept: Tensor) -> Tensor:
    """[rows]: the bi-encoder's cosine of each row's sides, from its last states."""
    query, passage = (mean_of(last, kept & (types == side)) for side in (0, 1))
    return (query * passage).sum(1)


class LateJoinBertForSequenceClassification(PreTrainedModel):
    """One logit a pair."""

    config_class = LateJoinConfig
    base_model_prefix = "bert"
    _supports_sdpa = True
    supports_gradient_checkpointing = False

    def __init__(self, config: LateJoinConfig) -> None:
        super().__init__(config)
        self.num_labels = 1
        self.bert = LateJoinEncoder(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def freeze_below(self) -> None:
        """Let only what lies above the join learn."""
        for module in self.frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> LateJoinBertForSequenceClassification:
        """What is frozen drops nothing out: it says the same at every step."""
        super().train(mode)
        for module in self.frozen():
            if not any(weight.requires_grad for weight in module.parameters()):
                module.eval()
        return self

    def frozen(self) -> list[nn.Module]:
        """What lies below the join, and the encoder's own upper layers."""
        lower = [self.bert.encoder.layer[str(at)] for at in range(self.config.join_layer)]
        return [self.bert.embeddings, self.bert.apart, *lower]

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        states: Tensor | None = None,
        cosines: Tensor | None = None,
        return_dict: bool = True,
    ) -> SequenceClassifierOutput:
        """Logits [rows, 1]; `states` at the join and `cosines` where they were computed before."""
        every = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        kept = every.bool()
        if states is None or cosines is None:
            states, last = self.bert.below(input_ids, token_type_ids, kept)
            cosines = cosine_of(last, token_type_ids, kept)
        states = states.to(self.bert.join.sides.weight.dtype)
        pooled = self.bert.above(states, input_ids, token_type_ids, kept)
        cosine = self.bert.join.cosine * cosines
        return SequenceClassifierOutput(logits=self.classifier(pooled) + cosine[:, None])


def mean_of(states: Tensor, counted: Tensor) -> Tensor:
    """[rows, hidden]: the mean of the counted tokens' states, of length 1."""
    weights = counted.unsqueeze(2).to(states.dtype)
    return functional.normalize((states * weights).sum(1), dim=1)


def frozen_in(model: nn.Module) -> LateJoinBertForSequenceClassification | None:
    """The late join in `model`, frozen below its join; None where it is another, learning as a whole."""
    for module in model.modules():
        if isinstance(module, LateJoinBertForSequenceClassification):
            module.freeze_below()
            return module
    return None


def register() -> None:
    """Tell transformers of this kind of model; telling it twice does no harm."""
    AutoConfig.register(MODEL_TYPE, LateJoinConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(
        LateJoinConfig, LateJoinBertForSequenceClassification, exist_ok=True
    )
