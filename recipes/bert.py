"""The model as it is trained: a BERT over packed rows, in plain PyTorch.

Rows follow one another without padding, so that every linear layer reads tokens only. Parameters
are float32; they are cast to `dtype` where they are used. With `join` > 0 the lower layers read
query and passage apart and stay as they came, the upper ones read both together, and the logit
takes the cosine of the two means that the untouched encoder gives (PreTTR, arXiv:2004.14255;
DeFormer, arXiv:2005.00697).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.attention import Attend, Layout, attend_padded
from recipes.start import Tensors

COSINE_WEIGHT, COSINE_CENTRE = 30.0, 0.85  # e5's cosines lie in 0.7 to 1


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model; `join` is the layer at which query and passage meet, 0 the first."""

    vocabulary: int = 40000
    hidden: int = 384
    layers: int = 12
    heads: int = 12
    intermediate: int = 1536
    positions: int = 512
    join: int = 0

    def config(self) -> dict[str, Any]:
        """config.json as transformers writes it."""
        return {
            "architectures": ["BertForSequenceClassification"],
            "model_type": "bert",
            "vocab_size": self.vocabulary,
            "dtype": "float32",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.positions,
            "hidden_act": "gelu",
            "type_vocab_size": 2,
            "layer_norm_eps": EPS,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "pad_token_id": 1,
            "id2label": {"0": "relevance"},
            "label2id": {"relevance": 0},
            "classifier_dropout": None,
            "position_embedding_type": "absolute",
        }


EPS = 1e-12


class Layer(nn.Module):
    """One layer; the projections of query, key and value are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide, inner = shape.hidden, shape.intermediate
        self.qkv, self.out = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
        self.up, self.down = nn.Linear(wide, inner), nn.Linear(inner, wide)
        self.norm, self.last_norm = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.heads = shape.heads

    def forward(self, x: Tensor, layout: Layout, kernels: Kernels) -> Tensor:
        qkv = functional.linear(x, self.qkv.weight.to(x.dtype), self.qkv.bias.to(x.dtype))
        q, k, v = qkv.view(len(x), 3, self.heads, -1).unbind(1)
        mixed = kernels.attend(q, k, v, layout).reshape(len(x), -1)
        parts = (self.out, self.norm, self.up, self.down, self.last_norm)
        return kernels.finish(x, mixed, *(p for part in parts for p in (part.weight, part.bias)))


def finish_layer(x: Tensor, mixed: Tensor, *weights: Tensor) -> Tensor:
    """What follows attention: its projection, the feed-forward network, both added and normed."""
    out, out_bias, norm, norm_bias, up, up_bias, down, down_bias, last, last_bias = (
        each.to(x.dtype) for each in weights
    )
    wide = x.shape[-1:]
    x = functional.layer_norm(
        x + functional.linear(mixed, out, out_bias), wide, norm, norm_bias, EPS
    )
    inner = functional.gelu(functional.linear(x, up, up_bias))
    return functional.layer_norm(
        x + functional.linear(inner, down, down_bias), wide, last, last_bias, EPS
    )


@dataclass(frozen=True, slots=True)
class Kernels:
    """How attention and what follows it are computed, and in which numbers."""

    attend: Attend = attend_padded
    finish: Callable[..., Tensor] = finish_layer
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Packed rows: ids and positions int64[tokens], and where each row lies."""

    ids: Tensor
    positions: Tensor
    layout: Layout

    @classmethod
    def of(cls, ids: np.ndarray, starts: np.ndarray, device: torch.device) -> Rows:
        """Of ids[tokens] and starts[rows + 1]."""
        lengths = np.diff(starts)
        positions = np.arange(len(ids)) - np.repeat(starts[:-1], lengths)
        return cls(
            torch.from_numpy(ids.astype(np.int64)).to(device, non_blocking=True),
            torch.from_numpy(positions.astype(np.int64)).to(device, non_blocking=True),
            Layout.of(starts, device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """How pairs are put together from rows that were read apart.

    `tokens` int64[pair tokens] points into the tokens of the rows, `sides` int64[pairs, 2] names
    the rows of query and passage.
    """

    tokens: Tensor
    sides: Tensor
    layout: Layout


class Encoder(nn.Module):
    """Embeddings and layers: rows in, the states of their tokens out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.places = nn.Embedding(shape.positions, shape.hidden)
        self.kind = nn.Parameter(torch.zeros(2, shape.hidden))
        self.norm = nn.LayerNorm(shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))

    def embed(self, rows: Rows, dtype: torch.dtype) -> Tensor:
        """[tokens, hidden]: the input of the first layer."""
        x = self.words(rows.ids) + self.places(rows.positions) + self.kind[0]
        return functional.layer_norm(x, x.shape[-1:], self.norm.weight, self.norm.bias, EPS).to(
            dtype
        )

    def run(self, x: Tensor, layout: Layout, kernels: Kernels, span: range) -> Tensor:
        """The states after these layers."""
        for at in span:
            x = self.layers[at](x, layout, kernels)
        return x

    def means(self, rows: Rows, kernels: Kernels) -> Tensor:
        """float32[rows, hidden]: the mean of the last states of each row, of length 1."""
        x = self.run(self.embed(rows, kernels.dtype), rows.layout, kernels, self.span())
        return row_means(x, rows.layout)

    def span(self, first: int = 0) -> range:
        """The layers from `first` on."""
        return range(first, self.shape.layers)


def row_means(x: Tensor, layout: Layout) -> Tensor:
    """float32[rows, hidden] of [tokens, hidden]: means of length 1."""
    lengths = layout.starts.diff()
    owner = torch.repeat_interleave(
        torch.arange(len(lengths), device=x.device), lengths.long(), output_size=len(x)
    )
    sums = torch.zeros(len(lengths), x.shape[1], device=x.device)
    return functional.normalize(sums.index_add(0, owner, x.float()), dim=1)


class Ranker(nn.Module):
    """A cross-encoder: one logit a row, or a pair where it joins late."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.dense, self.logit = nn.Linear(shape.hidden, shape.hidden), nn.Linear(shape.hidden, 1)
        with torch.no_grad():  # the pooler starts as the identity
            self.dense.weight.copy_(torch.eye(shape.hidden))
            self.dense.bias.zero_()
            self.logit.weight.normal_(0, 0.02)
            self.logit.bias.zero_()
        self.tower = nn.ModuleList()
        if shape.join:
            self.tower = nn.ModuleList(Layer(shape) for _ in range(shape.join, shape.layers))
            self.cosine = nn.Parameter(torch.tensor(COSINE_WEIGHT))

    def forward(self, rows: Rows, kernels: Kernels, joined: Joined | None = None) -> Tensor:
        """float32[rows], or float32[pairs] where `joined` says how rows make pairs."""
        if joined is not None:
            return self._joined(rows, kernels, joined)
        x = self.encoder.embed(rows, kernels.dtype)
        x = self.encoder.run(x, rows.layout, kernels, self.encoder.span())
        return self._head(x[rows.layout.starts[:-1].long()])

    def _head(self, first: Tensor) -> Tensor:
        return self.logit(torch.tanh(self.dense(first.float())))[:, 0]

    def _joined(self, rows: Rows, kernels: Kernels, joined: Joined) -> Tensor:
        with torch.no_grad():
            x = self.encoder.embed(rows, kernels.dtype)
            x = self.encoder.run(x, rows.layout, kernels, range(self.shape.join))
            apart = x
            for layer in self.tower:
                apart = layer(apart, rows.layout, kernels)
            query, passage = row_means(apart, rows.layout)[joined.sides].unbind(1)
            cosine = (query * passage).sum(1) - COSINE_CENTRE
        x = self.encoder.run(
            x[joined.tokens], joined.layout, kernels, self.encoder.span(self.shape.join)
        )
        return self._head(x[joined.layout.starts[:-1].long()]) + self.cosine * cosine

    def freeze_apart(self) -> None:
        """Keep what query and passage are read apart with as it is; nothing to do without join."""
        if self.shape.join:
            below = [self.encoder.words, self.encoder.places, self.encoder.norm, self.tower]
            for module in (*below, *self.encoder.layers[: self.shape.join]):
                module.requires_grad_(False)
            self.encoder.kind.requires_grad_(False)

    @torch.no_grad()
    def load_tensors(self, tensors: Tensors, layers: list[int] | None = None) -> None:
        """Take weights named as transformers does; `layers` says which become ours, in order."""
        chosen = list(range(self.shape.layers)) if layers is None else layers
        for name, parameter in self._named(chosen):
            if name.startswith("head.") and name.removeprefix("head.") not in tensors:
                continue
            key = name.removeprefix("head.")
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[key])))
        upper = chosen[self.shape.join :]
        for ours, theirs in zip(self.tower, upper, strict=False):
            for key, parameter in layer_names(ours, theirs):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[key])))

    @torch.no_grad()
    def tensors(self) -> Tensors:
        """The weights in float32, named as `load_tensors` reads them."""
        named = self._named(list(range(self.shape.layers)))
        return {
            name.removeprefix("head."): value.detach().float().cpu().numpy().copy()
            for name, value in named
        }

    def _named(self, layers: list[int]) -> list[tuple[str, Tensor]]:
        at = "embeddings."
        encoder = self.encoder
        pairs = [
            (f"{at}word_embeddings.weight", encoder.words.weight),
            (f"{at}position_embeddings.weight", encoder.places.weight),
            (f"{at}token_type_embeddings.weight", encoder.kind),
            (f"{at}LayerNorm.weight", encoder.norm.weight),
            (f"{at}LayerNorm.bias", encoder.norm.bias),
        ]
        for ours, theirs in zip(encoder.layers, layers, strict=True):
            pairs += layer_names(ours, theirs)
        for name, module in (("dense", self.dense), ("logit", self.logit)):
            pairs += [(f"head.{name}.weight", module.weight), (f"head.{name}.bias", module.bias)]
        return pairs


def layer_names(layer: nn.Module, number: int) -> list[tuple[str, Tensor]]:
    """The parameters of a layer by the names that transformers gives them in layer `number`."""
    at = f"encoder.layer.{number}."
    assert isinstance(layer, Layer)
    named = {
        "attention.output.dense": layer.out,
        "attention.output.LayerNorm": layer.norm,
        "intermediate.dense": layer.up,
        "output.dense": layer.down,
        "output.LayerNorm": layer.last_norm,
    }
    pairs = [
        (f"{at}{name}.{kind}", getattr(module, kind))
        for name, module in named.items()
        for kind in ("weight", "bias")
    ]
    for kind in ("weight", "bias"):
        thirds = getattr(layer.qkv, kind).chunk(3)
        names = [f"{at}attention.self.{name}.{kind}" for name in ("query", "key", "value")]
        pairs += list(zip(names, thirds, strict=True))
    return pairs


def every_other(layers: int, out_of: int) -> list[int]:
    """Which of `out_of` layers a smaller model starts from: evenly spread, the last among them."""
    return [round((at + 1) * out_of / layers) - 1 for at in range(layers)]


def shape_facts(shape: Shape) -> dict[str, int]:
    """The shape as JSON can hold it."""
    return asdict(shape)
