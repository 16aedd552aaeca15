"""The lexical first stage: candidates that share words with the query."""

from __future__ import annotations

from secondpass.errors import InvalidInput
from secondpass.protocols import Store
from secondpass.retrieval.filters import conditions
from secondpass.types import Candidate, Filter


class LexicalRetriever:
    """Finds passages by BM25 in a store, among those that pass a filter. The store stays open."""

    def __init__(self, store: Store, where: Filter | None = None) -> None:
        conditions(where)  # a filter that makes no sense is an error here, not at the first query
        self._store = store
        self._where = where

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best BM25 score first, ties in the order of adding.

        A query of unknown words finds nothing; a blank one, or a depth below 1, is InvalidInput.
        """
        check_query(query, depth)
        scores = dict(self._store.search_lexical(query, depth, self._where))
        # A passage that another process deletes in between is not there any more to be found.
        passages = self._store.get(list(scores))
        return [
            Candidate(passage, scores[passage.id], rank)
            for rank, passage in enumerate(passages, start=1)
        ]


def check_query(query: str, depth: int) -> None:
    """Raise InvalidInput for a blank query and a depth below 1, as every first stage does."""
    if not query.strip():
        raise InvalidInput("the query is blank; expected at least one word; ask for something")
    if depth < 1:
        raise InvalidInput(f"depth={depth} is too small; expected at least 1; pass 50, say")
