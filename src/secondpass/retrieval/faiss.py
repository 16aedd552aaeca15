"""A first stage over a FAISS index file that somebody else made: it is searched, never changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from secondpass.errors import InvalidInput, StoreError
from secondpass.protocols import Encoder
from secondpass.retrieval.lexical import check_query
from secondpass.retrieval.stores.faiss_file import faiss
from secondpass.retrieval.stores.tables import Found, best
from secondpass.types import Candidate, Passage


class FaissRetriever:
    """Finds passages by an index of any kind, whose row n is the vector of `passages[n]`.

    Scores are the inner product where the index goes by it, otherwise the negative distance.
    """

    def __init__(self, index: Any, passages: Sequence[Passage], encoder: Encoder) -> None:  # noqa: ANN401
        if index.ntotal != len(passages) or index.d != encoder.dimension:
            raise InvalidInput(
                f"the FAISS index has {index.ntotal} vectors of {index.d} numbers, but there are "
                f"{len(passages)} passages and the encoder makes {encoder.dimension} numbers; "
                "expected the same; give the passages and the encoder that it was made of"
            )
        self._index = index
        self._passages = passages
        self._encoder = encoder
        self._sign = 1.0 if index.metric_type == faiss().METRIC_INNER_PRODUCT else -1.0

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], passages: Sequence[Passage], encoder: Encoder
    ) -> Self:
        """The index in the file at `path`; StoreError where FAISS cannot read it."""
        library = faiss()
        if not Path(path).is_file():
            raise StoreError(f"there is no file '{path}'; expected a FAISS index; correct the path")
        try:
            return cls(library.read_index(str(path)), passages, encoder)
        except RuntimeError as error:
            raise StoreError(
                f"'{path}' is no FAISS index; expected what write_index wrote; see FAISS's message "
                f"({error})"
            ) from error

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best first, ties in the order of the passages.

        A blank query, or a depth below 1, is InvalidInput; StoreError for a row that is no passage's.
        """
        check_query(query, depth)
        vector = self._encoder.encode_queries([query])

        def fetch(limit: int) -> list[Found]:
            scores, numbers = self._index.search(vector, limit)
            pairs = zip(numbers[0], scores[0], strict=True)
            return [Found(int(n), "", {}, self._sign * float(s)) for n, s in pairs if n >= 0]

        found = best(fetch, lambda row: True, depth, max(1, self._index.ntotal))
        return [
            Candidate(self._passage(row.number), row.score, rank)
            for rank, row in enumerate(found, start=1)
        ]

    def _passage(self, number: int) -> Passage:
        if number >= len(self._passages):
            raise StoreError(
                f"the FAISS index names row {number}, but there are {len(self._passages)} passages; "
                "expected rows numbered from 0; build the index without ids of its own"
            )
        return self._passages[number]
