"""The dense first stage: candidates whose vectors are near to the query's."""

from __future__ import annotations

from secondpass.protocols import Encoder, Store
from secondpass.retrieval.filters import conditions
from secondpass.retrieval.lexical import check_query
from secondpass.types import Candidate, Filter


class DenseRetriever:
    """Finds passages by the cosine of their vectors, among those that pass a filter.

    The encoder is the one that made the store's vectors. It and the store stay open.
    """

    def __init__(self, store: Store, encoder: Encoder, where: Filter | None = None) -> None:
        conditions(where)  # a filter that makes no sense is an error here, not at the first query
        self._store = store
        self._encoder = encoder
        self._where = where

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, highest cosine first, ties in the order of adding.

        Every passage has a cosine, so fewer come only where fewer are there. A blank query, or a
        depth below 1, is InvalidInput.
        """
        check_query(query, depth)
        vector = self._encoder.encode_queries([query])[0]
        scores = dict(self._store.search_dense(vector, depth, self._where))
        # A passage that another process deletes in between is not there any more to be found.
        passages = self._store.get(list(scores))
        return [
            Candidate(passage, scores[passage.id], rank)
            for rank, passage in enumerate(passages, start=1)
        ]
