"""Hard negatives for every query: the best of BM25 and of e5, mixed, the false ones filtered.

All on one device, from the tokens alone. BM25 is a product of a sparse matrix (passages by words)
with the queries of a block, the dense leg a product of embeddings; both scores of the union of
both best lists, each in standard deviations, added, are the teacher.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recipes.bert import Encoder, Kernels, Rows
from recipes.corpus import HEADING, Corpus, Ragged
from recipes.lists import longest_first, single_row
from recipes.mined import Mined, known_keys

K1, B = 1.2, 0.75
NO_WORD = 0  # the term of all punctuation
FREQUENT = 0.1  # words in more of the passages than this say nothing worth their cost


@dataclass(frozen=True, slots=True)
class Mining:
    """Sizes and filters. `depth` of each leg; `kept` of the mixture; margins in deviations."""

    depth: int = 32
    kept: int = 32
    block: int = 512
    near_duplicate: float = 0.985
    question_margin: float = 1.5
    heading_rank: int = 20
    embed_tokens: int = 131072


@torch.no_grad()
def embed(
    encoder: Encoder, texts: Ragged, prefix: list[int], kernels: Kernels, tokens: int
) -> Tensor:
    """float16[texts, hidden] on the encoder's device: e5's embeddings, of length 1."""
    device = encoder.norm.weight.device
    out = torch.empty(len(texts), encoder.shape.hidden, dtype=torch.float16, device=device)
    most = encoder.shape.positions - len(prefix) - 2
    lengths = np.minimum(texts.lengths(), most) + len(prefix) + 2
    for chosen in plan(lengths, tokens):
        rows = [single_row(prefix, texts[int(at)][:most]) for at in chosen]
        ids, starts, _ = longest_first(rows)  # they come longest first, so the order stays
        vectors = encoder.means(Rows.of(ids, starts, device), kernels)
        out[torch.from_numpy(chosen).to(device)] = vectors.half()
    return out


def plan(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Indices of rows, the longest first, in packs of at most `tokens`, each with one row or more."""
    order = np.argsort(-lengths, kind="stable")
    sums = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        before = sums[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(sums, before + tokens, side="right")))
        yield order[start:end]
        start = end


@dataclass(frozen=True, slots=True, eq=False)
class Lexical:
    """BM25 as a matrix: weights sparse[passages, terms], idf float32[terms]; rare words only."""

    weights: Tensor
    idf: Tensor

    @classmethod
    def build(cls, corpus: Corpus, device: torch.device) -> Lexical:
        """Of the corpus's passages."""
        terms = torch.from_numpy(np.asarray(corpus.terms).astype(np.int64)).to(device)
        count, width = len(corpus.passages), int(terms.max()) + 1
        lengths = torch.from_numpy(corpus.passages.lengths()).to(device)
        ids = torch.from_numpy(np.asarray(corpus.passages.values).astype(np.int64)).to(device)
        owner = torch.repeat_interleave(torch.arange(count, device=device), lengths)
        keys, times = torch.unique(owner * width + terms[ids], return_counts=True)
        row, term = keys // width, keys % width
        holding = torch.bincount(term, minlength=width).float()
        idf = torch.log1p((count - holding + 0.5) / (holding + 0.5))
        norm = K1 * (1 - B + B * lengths.float() / lengths.float().mean())
        values = idf[term] * times * (K1 + 1) / (times + norm[row])
        idf[NO_WORD] = 0
        rare = (holding[term] <= max(FREQUENT * count, 50)) & (term != NO_WORD)
        row, term, values = row[rare], term[rare], values[rare]
        starts = torch.zeros(count + 1, dtype=torch.int64, device=device)
        starts[1:] = torch.bincount(row, minlength=count).cumsum(0)
        with warnings.catch_warnings():  # PyTorch calls this layout a beta
            warnings.simplefilter("ignore", UserWarning)
            weights = torch.sparse_csr_tensor(starts, term, values, (count, width))
        return cls(weights, idf)

    def scores(self, queries: list[np.ndarray]) -> Tensor:
        """float32[queries, passages]; queries as the terms of their tokens."""
        width = self.weights.shape[1]
        device = self.weights.device
        asked = torch.zeros(width, len(queries), device=device)
        column = np.repeat(np.arange(len(queries)), [len(terms) for terms in queries])
        term = np.concatenate(queries).astype(np.int64)
        asked[torch.from_numpy(term).to(device), torch.from_numpy(column).to(device)] = 1
        found: Tensor = self.weights @ asked
        return found.T.contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class Second:
    """Another bi-encoder's opinion: its embeddings, of length 1, of passages and of queries.

    `asked` bool[queries] says of which queries it knows the language, and that of their passage.
    """

    passages: Tensor
    queries: Tensor
    asked: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """What scores passages: BM25, the embeddings of passages and queries, and a second opinion."""

    lexical: Lexical
    passages: Tensor
    queries: Tensor
    second: Second | None = None


def mine(
    corpus: Corpus,
    legs: Legs,
    mining: Mining,
    *,
    queries: np.ndarray,
    also_right: np.ndarray | None = None,
) -> Mined:
    """The candidates of these queries; all others are marked as not usable.

    `also_right` are keys as `Mined.known` has them, of passages that answer queries not their own.
    """
    count, kept = len(corpus.positive), mining.kept
    candidates = np.full((count, kept), -1, np.int32)
    teacher = np.zeros((count, kept), np.float16)
    right = np.zeros(count, np.float32)
    usable = np.zeros(count, bool)
    known = known_keys(np.asarray(corpus.same), np.asarray(corpus.positive), len(corpus.passages))
    if also_right is not None:
        known = np.union1d(known, also_right)
    held = torch.from_numpy(known).to(legs.passages.device)
    for start in range(0, len(queries), mining.block):
        block = queries[start : start + mining.block]
        parts = _mine_block(corpus, legs, mining, block, held)
        candidates[block], teacher[block], right[block], usable[block] = parts
    return Mined(
        candidates=candidates,
        teacher=teacher,
        right=right,
        usable=usable,
        idf=legs.lexical.idf.cpu().numpy(),
        known=known,
        passages=np.array([len(corpus.passages)]),
    )


def _mine_block(
    corpus: Corpus, legs: Legs, mining: Mining, block: np.ndarray, known: Tensor
) -> tuple[np.ndarray, ...]:
    device = legs.passages.device
    table = np.asarray(corpus.terms)
    sparse = legs.lexical.scores([table[corpus.queries[int(at)]] for at in block])
    dense = product(legs.queries[torch.from_numpy(block).to(device)], legs.passages)
    depth = min(mining.depth, sparse.shape[1])
    positive = torch.from_numpy(np.asarray(corpus.positive)[block].astype(np.int64)).to(device)
    found = torch.cat([sparse.topk(depth).indices, dense.topk(depth).indices], dim=1)
    found = torch.cat([found.sort(dim=1).values, positive[:, None]], dim=1)
    repeated = torch.zeros_like(found, dtype=torch.bool)
    repeated[:, 1:-1] = found[:, 1:-1] == found[:, :-2]
    mixed = standard(sparse.gather(1, found), ~repeated) + standard(
        dense.gather(1, found), ~repeated
    )
    if legs.second is not None:
        mixed = with_second(mixed, legs.second, block, found, ~repeated)
    found, mixed, repeated, right = found[:, :-1], mixed[:, :-1], repeated[:, :-1], mixed[:, -1:]
    same = torch.from_numpy(np.asarray(corpus.same)[block].astype(np.int64)).to(device)
    keys = same[:, None] * len(corpus.passages) + found
    bad = repeated | torch.isin(keys, known)
    alike = torch.einsum(
        "qcd,qd->qc", legs.passages[found].float(), legs.passages[positive].float()
    )
    bad |= alike > mining.near_duplicate
    rank = ((mixed > right) & ~bad).sum(1)
    heading = torch.from_numpy(np.asarray(corpus.kind)[block] == HEADING).to(device)
    held_out = torch.from_numpy(np.asarray(corpus.held_out)[block]).to(device)
    margin = torch.where(heading, 0.0, mining.question_margin)
    margin = torch.where(held_out, math.inf, margin)
    bad |= mixed > right + margin[:, None]
    usable = ~(heading & (rank >= mining.heading_rank)) & (~bad).any(1)
    return _best(found, mixed.masked_fill(bad, -math.inf), right, usable, mining.kept)


def with_second(
    mixed: Tensor, second: Second, block: np.ndarray, found: Tensor, counted: Tensor
) -> Tensor:
    """Three opinions in place of two where the second bi-encoder is asked, as wide apart as two."""
    rows = torch.from_numpy(block).to(found.device)
    queries, passages = second.queries[rows].float(), second.passages[found].float()
    own = standard(torch.einsum("qcd,qd->qc", passages, queries), counted)
    return torch.where(second.asked[rows][:, None], (mixed + own) * (2 / 3), mixed)


def _best(
    found: Tensor, mixed: Tensor, right: Tensor, usable: Tensor, kept: int
) -> tuple[np.ndarray, ...]:
    """The block's arrays as `Mined` has them."""
    scores, order = mixed.sort(dim=1, descending=True)
    scores, order = scores[:, :kept], order[:, :kept]
    gone = scores.isinf()
    chosen = found.gather(1, order).masked_fill(gone, -1)
    missing = kept - chosen.shape[1]
    chosen = torch.nn.functional.pad(chosen, (0, missing), value=-1)
    scores = torch.nn.functional.pad(scores.masked_fill(gone, 0), (0, missing))
    return (
        chosen.to(torch.int32).cpu().numpy(),
        scores.to(torch.float16).cpu().numpy(),
        right[:, 0].float().cpu().numpy(),
        usable.cpu().numpy(),
    )


def product(queries: Tensor, passages: Tensor) -> Tensor:
    """float32[queries, passages]; half precision only where the device is quick at it."""
    if passages.device.type == "cuda":
        return (queries @ passages.T).float()
    return queries.float() @ passages.float().T


def standard(scores: Tensor, counted: Tensor) -> Tensor:
    """The scores of each row less their mean over `counted`, in standard deviations."""
    number = counted.sum(1, keepdim=True)
    mean = scores.masked_fill(~counted, 0).sum(1, keepdim=True) / number
    square = (scores - mean).square().masked_fill(~counted, 0).sum(1, keepdim=True) / number
    return (scores - mean) / square.sqrt().clamp(min=1e-6)
