"""What every retriever must do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from secondpass.errors import InvalidInput
from secondpass.protocols import Retriever
from secondpass.testing.expect import expect, expect_equal, expect_error


def ranks_best_first(retriever: Retriever, query: str) -> None:
    """Sort by score before cutting, count ranks from 1, and give each passage once."""
    found = retriever.retrieve(query, 50)
    expect(len(found) >= 3, f"the query must find three passages or more, found {len(found)}")
    scores = [candidate.score for candidate in found]
    expect(scores == sorted(scores, reverse=True), f"scores do not descend: {scores}")
    expect_equal([one.rank for one in found], list(range(1, len(found) + 1)), "ranks")
    expect_equal(len({one.passage.id for one in found}), len(found), "different passages")


def cuts_at_depth(retriever: Retriever, query: str) -> None:
    """A smaller depth is a prefix of a larger one, and the same call answers the same."""
    found = retriever.retrieve(query, 3)
    expect_equal(retriever.retrieve(query, 2), found[:2], "the first two of three")
    expect_equal(retriever.retrieve(query, 3), found, "the same call again")


def refuses_senseless_calls(retriever: Retriever, query: str) -> None:
    """A blank query and a depth below 1 are the caller's mistakes: raise InvalidInput."""
    for asked, depth in (("", 5), (" \t\n\u3000", 5), (query, 0), (query, -1)):
        call = partial(retriever.retrieve, asked, depth)
        expect_error(InvalidInput, call, f"retrieving {asked!r} to depth {depth}")


RETRIEVER_CHECKS: tuple[Callable[[Retriever, str], None], ...] = (
    ranks_best_first,
    cuts_at_depth,
    refuses_senseless_calls,
)


def check_retriever(retriever: Retriever, query: str) -> None:
    """Run every retriever check; the query must find at least three passages."""
    for check in RETRIEVER_CHECKS:
        check(retriever, query)
