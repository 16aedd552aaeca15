"""A late-join cross-encoder in PyTorch, made of transformers' own BERT layers: the oracle of ours.

It reads one pair at a time, so that there is nothing to pad and nothing to share. Its checkpoints
have random weights from a seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from checkpoints import SHAPE, build_tokenizer

CONFIG = {
    "model_type": "late-join-bert",
    **SHAPE,
    "num_hidden_layers": 4,
    "join_layer": 2,
    "max_position_embeddings": 96,
    "type_vocab_size": 1,
    "pad_token_id": 0,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def build_model(config: dict[str, object]):
    """The module whose parameters have the names of a late-join checkpoint."""
    import torch
    from torch import nn
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertPooler

    known = {name: value for name, value in config.items() if name not in ("model_type",)}
    bert_config = BertConfig(**known, attn_implementation="eager")
    first, layers, hidden = config["join_layer"], config["num_hidden_layers"], config["hidden_size"]

    def stack(numbers: range) -> nn.Module:
        owner = nn.Module()
        owner.layer = nn.ModuleDict({str(at): BertLayer(bert_config) for at in numbers})
        return owner

    class LateJoinBert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = nn.Module()
            self.bert.embeddings = BertEmbeddings(bert_config)
            self.bert.encoder, self.bert.apart = stack(range(layers)), stack(range(first, layers))
            self.bert.join = nn.Module()
            self.bert.join.sides = nn.Embedding(4, hidden)
            self.bert.join.cosine = nn.Parameter(torch.tensor([3.0]))
            self.bert.pooler = BertPooler(bert_config)
            self.classifier = nn.Linear(hidden, 1)

        def run(self, owner: nn.Module, numbers: range, states: torch.Tensor) -> torch.Tensor:
            for at in numbers:
                out = owner.layer[str(at)](states)
                states = out[0] if isinstance(out, tuple) else out
            return states

        def forward(self, query: list[int], passage: list[int]) -> float:
            meant, joined = [], []
            for side, (ids, others) in enumerate([(query, passage), (passage, query)]):
                one = torch.tensor([ids])
                states = self.bert.embeddings(input_ids=one, token_type_ids=torch.zeros_like(one))
                states = self.run(self.bert.encoder, range(first), states)
                apart = self.run(self.bert.apart, range(first, layers), states)
                meant.append(nn.functional.normalize(apart[0].mean(0), dim=0))
                told = torch.tensor([[2 * side + (token in others) for token in ids]])
                joined.append(states + self.bert.join.sides(told))
            states = self.run(self.bert.encoder, range(first, layers), torch.cat(joined, dim=1))
            logit = self.classifier(self.bert.pooler(states))[0]
            return float(logit + self.bert.join.cosine * (meant[0] @ meant[1]))

    return LateJoinBert().eval()


def build_late_join(folder: Path, **changes: object) -> Path:
    """Write a late-join checkpoint to `folder`, its config with `changes`."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import processors

    tokenizer = build_tokenizer("bert")
    marks = [(piece, tokenizer.token_to_id(piece)) for piece in ("[unused0]", "[unused1]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] [unused0] $A [SEP] [CLS]:1 [unused1]:1 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3), *marks],
    )
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), **changes}
    torch.manual_seed(11)
    model = build_model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, config["initializer_range"])
            elif not name.endswith("cosine"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(folder / "tokenizer.json"))
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    facts = {"model_max_length": config["max_position_embeddings"], "model_input_names": inputs}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))
    return folder


@cache
def _load(folder: Path):
    from safetensors.torch import load_file

    model = build_model(json.loads((folder / "config.json").read_text()))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def row_logits(folder: Path, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """The oracle's logits of (query side, passage side) as ids with their specials."""
    import torch

    with torch.no_grad():
        return [_load(folder)(query, passage) for query, passage in rows]


def pair_logits(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The oracle's logits of (query, passage) as the checkpoint's own tokenizer puts them together."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows: list[tuple[list[int], list[int]]] = []
    for query, passage in pairs:
        found = tokenizer.encode(query, passage)
        sides = [
            [token for token, kind in zip(found.ids, found.type_ids, strict=True) if kind == side]
            for side in (0, 1)
        ]
        rows.append((sides[0], sides[1]))
    return row_logits(folder, rows)


@pytest.fixture(scope="session")
def late_join(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a late-join checkpoint, built once. Tests must not change what is in it."""

    @cache
    def build(**changes: object) -> Path:
        return build_late_join(tmp_path_factory.mktemp("late-join") / "model", **changes)

    return build
