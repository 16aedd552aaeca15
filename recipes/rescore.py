"""A trained model becomes its own teacher: it scores the candidates, and the lists are made anew."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from recipes.bert import Kernels, Ranker
from recipes.corpus import HEADING
from recipes.lists import Lists
from recipes.mined import Mined
from recipes.scoring import plain_question, score_questions

ROUND = 2048  # queries between two looks at the clock
OWN_SHARE = 0.6  # of the model in the new teacher; the rest is the old one
QUESTION_MARGIN = 2.0  # logits by which a wrong passage may beat the right one before it is dropped


def rescore(
    model: Ranker, kernels: Kernels, lists: Lists, *, places: int, tokens: int, seconds: float
) -> tuple[Mined, int]:
    """The candidates with a new teacher, and how many queries it has seen.

    Queries are taken in the order in which training would draw them, until the time is over; the
    others keep the old teacher.
    """
    ends = time.monotonic() + seconds
    old = lists.mined
    teacher, right = np.array(old.teacher, np.float16), np.array(old.right, np.float32)
    candidates, usable = np.array(old.candidates), np.array(old.usable)
    order = drawing_order(lists)
    seen = 0
    while seen < len(order) and time.monotonic() < ends:
        chosen = order[seen : seen + ROUND]
        questions = [plain_question(lists, int(at), places, tokens) for at in chosen]
        scored = score_questions(model, kernels, lists, questions)
        logits, mask = scored.logits.numpy(), scored.mask.numpy()
        for at, scores, there in zip(chosen, logits, mask, strict=True):
            found = retaught(scores[there], old, int(at), heading=is_heading(lists, int(at)))
            candidates[at], teacher[at], right[at] = found
            usable[at] = bool((candidates[at] >= 0).any())
        seen += len(chosen)
    return replace(old, candidates=candidates, teacher=teacher, right=right, usable=usable), seen


def is_heading(lists: Lists, at: int) -> bool:
    """Whether the query is a heading, whose other answers are many."""
    return int(lists.corpus.kind[at]) == HEADING


def drawing_order(lists: Lists) -> np.ndarray:
    """The queries to learn from, the likely ones first (Efraimidis and Spirakis 2006)."""
    usable, sums = lists.drawn
    weights = np.diff(sums, prepend=0.0)
    keys = np.random.default_rng(lists.seed).exponential(size=len(usable)) / weights
    order: np.ndarray = usable[np.argsort(keys)]
    return order


def retaught(
    scores: np.ndarray, old: Mined, at: int, *, heading: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """(candidates, teacher, right) of a query, from the model's logits, the right passage's first.

    Wrong passages that the model likes too well are taken for right ones and dropped, a heading's
    sooner than a question's. What was not scored stays below what was.
    """
    kept = np.array(old.candidates[at])
    places = np.flatnonzero(kept >= 0)
    new, rest = places[: len(scores) - 1], places[len(scores) - 1 :]
    before = np.concatenate([[old.right[at]], np.asarray(old.teacher[at], np.float64)[new]])
    mixed = OWN_SHARE * deviations(scores) + (1 - OWN_SHARE) * deviations(before)
    margin = 0.0 if heading else QUESTION_MARGIN
    good = scores[1:] <= scores[0] + margin
    order = np.argsort(-mixed[1:][good], kind="stable")
    ranked, ranked_scores = kept[new][good][order], mixed[1:][good][order]
    floor = float(mixed[1:].min()) if len(new) else 0.0
    candidates, teacher = np.full(len(kept), -1, np.int32), np.zeros(len(kept), np.float16)
    count = len(ranked) + len(rest)
    candidates[:count] = np.concatenate([ranked, kept[rest]])
    teacher[:count] = np.concatenate([ranked_scores, np.full(len(rest), floor - 0.5)])
    return candidates, teacher, float(mixed[0])


def deviations(scores: np.ndarray) -> np.ndarray:
    """The scores less their mean, in standard deviations."""
    values = scores.astype(np.float64)
    return (values - values.mean()) / max(float(values.std()), 1e-6)
