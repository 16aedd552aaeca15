"""What every reranker must do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from secondpass.errors import InvalidInput
from secondpass.protocols import Reranker
from secondpass.testing.expect import expect, expect_equal, expect_error
from secondpass.testing.texts import TEXTS


def ranks_every_text(reranker: Reranker) -> None:
    """Each text once, best first, ties by index; blank, odd and very long texts like any other."""
    lines = reranker.rerank("what is a panda?", TEXTS)
    expect_equal(sorted(line.index for line in lines), list(range(len(TEXTS))), "indices")
    order = [(-line.score, line.index) for line in lines]
    expect(order == sorted(order), f"order: {order}")
    by_index = {line.index: line.score for line in lines}
    expect_equal(by_index[3], by_index[5], "scores of two equal texts")


def gives_a_prefix_for_top_k(reranker: Reranker) -> None:
    """`top_k` cuts the whole order; one that is larger than the number of texts cuts nothing."""
    lines = reranker.rerank("what is a panda?", TEXTS)
    for top_k in (1, 3, len(TEXTS), 100):
        found = reranker.rerank("what is a panda?", TEXTS, top_k)
        expect_equal(found, lines[:top_k], f"top_k={top_k}")


def scores_regardless_of_company(reranker: Reranker) -> None:
    """A text alone, and the texts in another order, have the same scores."""
    scores = {line.index: line.score for line in reranker.rerank("a panda?", TEXTS)}
    for index in (0, 2):
        (alone,) = reranker.rerank("a panda?", [TEXTS[index]])
        expect(abs(alone.score - scores[index]) < 1e-5, f"text {index} alone: {alone.score}")
    last = len(TEXTS) - 1
    turned = {last - line.index: line.score for line in reranker.rerank("a panda?", TEXTS[::-1])}
    for index, score in scores.items():
        expect(abs(turned[index] - score) < 1e-5, f"text {index} turned: {turned[index]}")


def gives_plain_numbers(reranker: Reranker) -> None:
    """JSON takes a score and a probability as they are, and a probability lies in 0..1."""
    for line in reranker.rerank("a panda?", TEXTS[:3]):
        expect_equal((type(line.score), type(line.probability)), (float, float), "types")
        expect(0 <= line.probability <= 1, f"probability: {line.probability}")


def handles_nothing_and_nonsense(reranker: Reranker) -> None:
    """No texts give no lines; a blank query and a top_k below 1 are the caller's mistakes."""
    expect_equal(reranker.rerank("a panda?", []), [], "no texts")
    for query, top_k in (("", None), (" \n", None), ("panda", 0), ("panda", -1)):
        call = partial(reranker.rerank, query, ["a bear"], top_k)
        expect_error(InvalidInput, call, f"reranking for {query!r} with top_k={top_k}")


RERANKER_CHECKS: tuple[Callable[[Reranker], None], ...] = (
    ranks_every_text,
    gives_a_prefix_for_top_k,
    scores_regardless_of_company,
    gives_plain_numbers,
    handles_nothing_and_nonsense,
)


def check_reranker(reranker: Reranker) -> None:
    """Run every reranker check."""
    for check in RERANKER_CHECKS:
        check(reranker)
