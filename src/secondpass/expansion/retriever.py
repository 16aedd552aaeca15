"""ExpandedRetriever: several queries, one list of candidates.

query -> expander -> queries -> retriever, each -> union by id and by equal text -> candidates

A reranker above it judges the union by the query that was asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from secondpass.errors import InvalidInput
from secondpass.protocols import Expander, Retriever
from secondpass.types import Candidate, Expanded

# What a query finds further down hardly changes the order above.
QUERY_DEPTH = 100
K = 60.0


class ExpandedRetriever:
    """A first stage that asks another one several queries.

    Each is asked for `query_depth` candidates, or for more where more are wanted: up to that depth a
    smaller one gives a prefix of a larger one. The order is by the sum of 1 / (60 + rank) over the
    queries, in which the one that was asked counts as much as all the others together, so that
    expansion adds and does not outvote.
    """

    def __init__(
        self, retriever: Retriever, expander: Expander, *, query_depth: int = QUERY_DEPTH
    ) -> None:
        if query_depth < 1:
            raise InvalidInput(f"query_depth={query_depth}; expected a whole number from 1")
        self.retriever = retriever
        self.expander = expander
        self.query_depth = query_depth

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates of all queries; `queries` of each has its rank for each one."""
        return self.retrieve_expanded(query, depth).candidates

    def retrieve_expanded(self, query: str, depth: int) -> Expanded:
        """The candidates, the queries that were asked beside `query`, and why there are none."""
        if depth < 1:
            raise InvalidInput(f"depth={depth} is too small; expected at least 1; pass 50, say")
        asked = max(depth, self.query_depth)
        # First, so that a query that cannot be asked costs no expansion.
        found = {query: self.retriever.retrieve(query, asked)}
        expansion = self.expander.expand(query)
        for other in expansion.queries:
            if other not in found:
                found[other] = self.retriever.retrieve(other, asked)
        expansion = replace(expansion, queries=tuple(found)[1:])
        candidates, identical = union(list(found.items()))
        return Expanded(candidates[:depth], expansion, identical)


def union(found: Sequence[tuple[str, Sequence[Candidate]]]) -> tuple[list[Candidate], int]:
    """The candidates of all queries, the first of which was asked, and how many had another's text.

    Those of one passage id, and those of one text in context, are one: the one that a query ranked
    best, of equal ones the earlier query's.
    """
    best: dict[str, Candidate] = {}
    ranks: dict[str, dict[str, int]] = {}
    ids: set[str] = set()
    met = sorted(
        ((query, candidate) for query, candidates in found for candidate in candidates),
        key=lambda one: one[1].rank,
    )
    for query, candidate in met:
        text = candidate.passage.text_in_context
        ids.add(candidate.passage.id)
        best.setdefault(text, candidate)
        ranks.setdefault(text, {}).setdefault(query, candidate.rank)
    scores = {text: _score(there, found[0][0], len(found) - 1) for text, there in ranks.items()}
    order = sorted(scores, key=lambda text: -scores[text])
    candidates = [
        replace(best[text], score=scores[text], rank=rank, queries=ranks[text])
        for rank, text in enumerate(order, start=1)
    ]
    return candidates, len(ids) - len(best)


def _score(ranks: dict[str, int], asked: str, others: int) -> float:
    weights = {asked: float(max(1, others))}
    return math.fsum(weights.get(query, 1.0) / (K + rank) for query, rank in ranks.items())
