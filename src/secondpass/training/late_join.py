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

    def forward(self, ids: Tensor, types: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(pooled [rows, hidden], cosines [rows]) of ids, sides and validity, each [rows, tokens]."""
        both = kept[:, None, :] & kept[:, :, None]
        same = both & (types[:, None, :] == types[:, :, None])
        first = ((types == 0) & kept).sum(1, keepdim=True)
        places = torch.arange(ids.shape[1], device=ids.device)
        positions = torch.where(types == 1, places - first, places).clamp(min=0)
        x = self.embeddings(
            input_ids=ids, token_type_ids=torch.zeros_like(ids), position_ids=positions
        )
        # A padding token sees itself, so that no row of the mask is empty.
        itself = torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)
        alone, together = ((mask | itself)[:, None] for mask in (same, both))
        x = self.encoder(x, alone, range(self.join_layer))
        upper = range(self.join_layer, self.layers)
        apart = self.apart(x, alone, upper)
        query, passage = (mean_of(apart, kept & (types == side)) for side in (0, 1))
        cosine = (query * passage).sum(1)
        seen = ((ids[:, :, None] == ids[:, None, :]) & both & ~same).any(2)
        x = self.encoder(x + self.join.sides(2 * types + seen.long()), together, upper)
        return self.pooler(x), self.join.cosine * cosine


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
        below = [self.bert.encoder.layer[str(at)] for at in range(self.config.join_layer)]
        for module in (self.bert.embeddings, self.bert.apart, *below):
            module.requires_grad_(False)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor | None = None,
        return_dict: bool = True,
    ) -> SequenceClassifierOutput:
        """Logits [rows, 1]."""
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        pooled, cosine = self.bert(input_ids, token_type_ids, kept.bool())
        return SequenceClassifierOutput(logits=self.classifier(pooled) + cosine[:, None])


def mean_of(states: Tensor, counted: Tensor) -> Tensor:
    """[rows, hidden]: the mean of the counted tokens' states, of length 1."""
    weights = counted.unsqueeze(2).to(states.dtype)
    return functional.normalize((states * weights).sum(1), dim=1)


def freeze_below(model: nn.Module) -> None:
    """Freeze what lies below the join of every late join in `model`; others learn as a whole."""
    for module in model.modules():
        if isinstance(module, LateJoinBertForSequenceClassification):
            module.freeze_below()


def register() -> None:
    """Tell transformers of this kind of model; telling it twice does no harm."""
    AutoConfig.register(MODEL_TYPE, LateJoinConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(
        LateJoinConfig, LateJoinBertForSequenceClassification, exist_ok=True
    )
