"""The layers of BERT, RoBERTa and XLM-RoBERTa in float32, and the head that ranks.

Rows of one length are computed together as [rows, tokens, hidden], so that nothing is padded;
numpy multiplies such a stack matrix by matrix, so that what comes of a row does not depend on its
company, down to the last bit.

    ids, types -> embed -> layer x n -> states -> head -> logits
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.checkpoint import Weights
from secondpass.engine.spec import GELU_TANH, ModelSpec
from secondpass.errors import EngineError

Floats = NDArray[np.float32]
Observer = Callable[[str, Floats], None]  # is told the name and the input of each linear layer
GELU_BLOCK = 65536


class Layers:
    """A model's weights, and what comes before the head."""

    def __init__(self, spec: ModelSpec, weights: Weights, observe: Observer | None = None) -> None:
        self.spec = spec
        self._weights: Weights | None = weights
        self._observe = observe
        self._activate = hidden_activation(spec.hidden_activation)

    def open_weights(self) -> Weights:
        """The weights, for one call; raises EngineError once they are let go of."""
        weights = self._weights
        if weights is None:
            raise EngineError("the model is closed; load it again to use it")
        return weights

    def close(self) -> None:
        """Let go of the weights."""
        self._weights = None

    def states(
        self,
        ids: NDArray[np.int32],
        types: NDArray[np.int32],
        weights: Weights,
        *,
        first_only: bool,
    ) -> Floats:
        """The last hidden states, float32[rows, 1 or tokens, hidden]."""
        last = self.spec.layers - 1
        states = self.embed(ids, types, weights)
        states = self.run("encoder", range(last), states, weights)
        queries = states[:, :1] if first_only else states
        return self.layer(f"encoder.layer.{last}.", queries, states, weights)

    def embed(self, ids: NDArray[np.int32], types: NDArray[np.int32], weights: Weights) -> Floats:
        """What the first layer reads, float32[rows, tokens, hidden]."""
        states: Floats = weights["embeddings.word_embeddings.weight"][ids]
        positions = position_ids(ids, self.spec.padding_id)
        states += weights["embeddings.position_embeddings.weight"][positions]
        if "embeddings.token_type_embeddings.weight" in weights:
            states += weights["embeddings.token_type_embeddings.weight"][types]
        return self._normalise("embeddings.LayerNorm", states, weights)

    def run(self, stack: str, numbers: range, states: Floats, weights: Weights) -> Floats:
        """The states after the layers of these numbers of 'encoder' or 'apart'."""
        for number in numbers:
            states = self.layer(f"{stack}.layer.{number}.", states, states, weights)
        return states

    def layer(self, at: str, queries: Floats, states: Floats, weights: Weights) -> Floats:
        """One layer for the tokens in `queries`, which attend to all of `states`."""
        mixed = self._attend(f"{at}attention.self.", queries, states, weights)
        mixed = self._linear(f"{at}attention.output.dense", mixed, weights)
        mixed += queries
        mixed = self._normalise(f"{at}attention.output.LayerNorm", mixed, weights)
        wide = self._activate(self._linear(f"{at}intermediate.dense", mixed, weights))
        out = self._linear(f"{at}output.dense", wide, weights)
        out += mixed
        return self._normalise(f"{at}output.LayerNorm", out, weights)

    def _attend(self, at: str, queries: Floats, states: Floats, weights: Weights) -> Floats:
        q = self._split_heads(self._linear(f"{at}query", queries, weights))
        k = self._split_heads(self._linear(f"{at}key", states, weights))
        v = self._split_heads(self._linear(f"{at}value", states, weights))
        scores = q @ k.swapaxes(-1, -2)
        scores *= np.float32(q.shape[-1] ** -0.5)
        mixed: Floats = softmax(scores) @ v
        return mixed.swapaxes(1, 2).reshape(queries.shape)

    def _linear(self, name: str, states: Floats, weights: Weights) -> Floats:
        if self._observe is not None:
            self._observe(name, states)
        return linear(name, states, weights)

    def _split_heads(self, states: Floats) -> Floats:
        """[rows, tokens, hidden] as [rows, heads, tokens, head]."""
        rows, tokens, hidden = states.shape
        heads = self.spec.heads
        split = states.reshape(rows, tokens, heads, hidden // heads).swapaxes(1, 2)
        return np.ascontiguousarray(split)  # a strided operand would cost more than this copy

    def _normalise(self, name: str, states: Floats, weights: Weights) -> Floats:
        """LayerNorm over the last axis, in place (Ba et al. 2016, arXiv:1607.06450)."""
        states -= states.mean(axis=-1, keepdims=True)
        variance = np.mean(states * states, axis=-1, keepdims=True)
        states /= np.sqrt(variance + np.float32(self.spec.eps))
        states *= weights[f"{name}.weight"]
        states += weights[f"{name}.bias"]
        return states


def ranking_head(first_tokens: Floats, weights: Weights, cosines: Floats | None = None) -> Floats:
    """Logits; BERT calls the dense layer pooler, RoBERTa a part of its classifier; both are this.

    `cosines`, float32[rows], are those of the two sides of a late-join model's rows.
    """
    pooled = np.tanh(linear("dense", first_tokens[:, None], weights))
    logits = linear("logit", pooled, weights)[:, 0, 0]
    if cosines is not None:
        logits = logits + weights["join.cosine"] * cosines
    return logits


def position_ids(ids: NDArray[np.int32], padding_id: int | None) -> NDArray[np.int64]:
    """0, 1, 2, ... for BERT, which counts all tokens; RoBERTa passes a padding id to skip.

    RoBERTa counts from `padding_id + 1`, and a token that is the padding itself (a text may spell
    it out) has the padding's position and does not count.
    """
    if padding_id is None:
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    counted = ids != padding_id
    positions: NDArray[np.int64] = np.cumsum(counted, axis=1) * counted + padding_id
    return positions


def linear(name: str, states: Floats, weights: Weights) -> Floats:
    """`states @ W.T + b`, W being float32[out, in] as checkpoints have it."""
    out: Floats = states @ weights[f"{name}.weight"].T
    out += weights[f"{name}.bias"]
    return out


def softmax(scores: Floats) -> Floats:
    """Softmax over the last axis, in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def hidden_activation(name: str) -> Callable[[Floats], Floats]:
    """The activation of the feed-forward network by its name in config.json."""
    if name in GELU_TANH:
        return gelu_tanh
    return {
        "gelu": gelu,
        "quick_gelu": lambda x: x / (1 + np.exp(np.float32(-1.702) * x)),
        "relu": lambda x: np.maximum(x, 0, out=x),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "swish": lambda x: x / (1 + np.exp(-x)),
    }[name]


def gelu(x: Floats) -> Floats:
    """`x` times the normal distribution function (arXiv:1606.08415), in place.

    x * Phi(x) = max(x, 0) - |x| * (1 - erf(|x| / sqrt 2)) / 2, with Abramowitz and Stegun's formula
    7.1.26 for the error function (good to 1.5e-7), since numpy has none. A block at a time, so that
    the dozen passes over it stay in the cache.
    """
    flat = x.reshape(-1)
    for start in range(0, flat.size, GELU_BLOCK):
        block = flat[start : start + GELU_BLOCK]
        size = np.abs(block)
        a = size * np.float32(0.5**0.5)
        t = 1 / (1 + np.float32(0.3275911) * a)
        tail = np.float32(1.061405429) * t
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(coefficient)
            tail *= t
        a *= -a
        tail *= np.exp(a, out=a)
        tail *= size
        tail *= np.float32(0.5)
        np.maximum(block, 0, out=block)
        block -= tail
    return x


def gelu_tanh(x: Floats) -> Floats:
    """The same with a tanh in the place of the error function, as newer checkpoints were trained."""
    inner = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x**3)
    out: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return out
