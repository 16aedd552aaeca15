"""What does a model say about lists as they are? Validation, re-mining and calibration ask this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recipes.attention import Layout
from recipes.bert import Joined, Kernels, Ranker, Rows
from recipes.lists import QUERY_MOST, SPECIALS, Batch, Lists, Question, tokens_of
from recipes.losses import ndcg_of_first


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """logits float32[lists, places] and mask bool alike; the right passage is in the first place."""

    logits: Tensor
    mask: Tensor

    def ndcg(self) -> float:
        """The mean nDCG@10."""
        return float(ndcg_of_first(self.logits, self.mask).mean())


def run_model(model: Ranker, batch: Batch, kernels: Kernels) -> Tensor:
    """float32[lists, places] on the model's device; places without a passage hold any number."""
    device = model.dense.weight.device
    rows = Rows.of(batch.ids, batch.starts, device)
    joined = None if batch.sides is None else join(batch, device)
    logits = model(rows, kernels, joined)
    return logits[torch.from_numpy(batch.lists.astype(np.int64)).to(device).clamp(min=0)]


def join(batch: Batch, device: torch.device) -> Joined:
    """How the pairs of a batch of rows read apart are put together: the query's tokens first."""
    assert batch.sides is not None
    lengths = np.diff(batch.starts)
    both = lengths[batch.sides]
    starts = np.concatenate([[0], np.cumsum(both.sum(1))])
    flat, sizes = batch.sides.ravel(), both.ravel()
    begins = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    tokens = np.arange(sizes.sum()) - np.repeat(begins - batch.starts[flat], sizes)
    return Joined(
        torch.from_numpy(tokens).to(device),
        torch.from_numpy(batch.sides.astype(np.int64)).to(device),
        Layout.of(starts, device),
    )


def mask_of(batch: Batch, device: torch.device) -> Tensor:
    """bool[lists, places]."""
    return torch.from_numpy(batch.lists >= 0).to(device)


def plain_question(lists: Lists, at: int, places: int, longest: int) -> Question:
    """The query with its right passage and its best candidates, whole, up to `longest` tokens."""
    corpus = lists.corpus
    query = corpus.queries[at][:QUERY_MOST]
    room = longest - len(query) - SPECIALS
    found = np.asarray(lists.mined.candidates[at])
    found = found[found >= 0][: places - 1]
    chosen = [int(corpus.positive[at]), *map(int, found)]
    passages = [corpus.passages[i][:room] for i in chosen]
    return Question(query, passages, np.zeros(len(chosen), np.float32), 0.0)


@torch.no_grad()
def score_questions(
    model: Ranker, kernels: Kernels, lists: Lists, questions: list[Question]
) -> Scored:
    """The logits of these lists, in packs of the recipe's size."""
    places = max(len(each.passages) for each in questions)
    logits = torch.zeros(len(questions), places)
    mask = torch.zeros(len(questions), places, dtype=torch.bool)
    for span in spans(questions, lists.recipe.tokens, apart=lists.recipe.apart):
        batch = lists.packed(questions[span.start : span.stop])
        width = batch.lists.shape[1]
        logits[span.start : span.stop, :width] = run_model(model, batch, kernels).float().cpu()
        mask[span.start : span.stop, :width] = torch.from_numpy(batch.lists >= 0)
    return Scored(logits, mask)


def spans(questions: list[Question], tokens: int, *, apart: bool) -> list[range]:
    """Neighbouring lists of at most so many tokens together, one list at least."""
    found: list[range] = []
    start = used = 0
    for at, each in enumerate(questions):
        cost = tokens_of(each, apart=apart)
        if at > start and used + cost > tokens:
            found.append(range(start, at))
            start, used = at, 0
        used += cost
    return [*found, range(start, len(questions))]


def validation(lists: Lists, count: int, places: int, longest: int) -> list[Question]:
    """Held-out queries, always the same, drawn as training draws its own."""
    from recipes.lists import shares

    corpus = lists.corpus
    held = np.flatnonzero(np.asarray(corpus.held_out) & np.asarray(lists.mined.usable))
    if not len(held):
        raise ValueError("no usable query is held out; expected one in fifty: use more data")
    weights = shares(corpus, held, lists.recipe.question_weight)
    rng = np.random.default_rng(0)
    likely = int(np.count_nonzero(weights))
    drawn = rng.choice(held, min(count, likely), replace=False, p=weights / weights.sum())
    return [plain_question(lists, int(at), places, longest) for at in np.sort(drawn)]
