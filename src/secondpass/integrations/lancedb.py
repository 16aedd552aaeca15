"""A guest in LanceDB: a reranker of hybrid, vector and full-text search."""

from __future__ import annotations

from pathlib import Path

from secondpass.engine.cross_encoder import DEFAULT_MODEL, CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import host, load

with host("LanceDB", "lancedb"):
    import pyarrow as pa
    from lancedb.rerankers import Reranker

RELEVANCE = "_relevance_score"
# the scores of the first stage, which only `return_score='all'` keeps
FIRST_STAGE = ("_distance", "_score")


class SecondpassReranker(Reranker):  # type: ignore[misc,unused-ignore]
    """Orders what a search found by the model's probability, in the column `_relevance_score`.

    Takes what LanceDB's CrossEncoderReranker takes: `column` holds the text, `return_score` is
    'relevance' or 'all'. A null text is scored as a blank one. A search by vector needs the words:
    `.rerank(reranker, query_string="...")`. Raises what `CrossEncoder.load` raises.
    """

    def __init__(
        self,
        model_name: str | Path | CrossEncoder = DEFAULT_MODEL,
        column: str = "text",
        return_score: str = "relevance",
        *,
        max_tokens: int | None = None,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        super().__init__(return_score)
        self.model = load(model_name, max_tokens=max_tokens, revision=revision, offline=offline)
        self.column = column

    def rerank_hybrid(
        self, query: str, vector_results: pa.Table, fts_results: pa.Table
    ) -> pa.Table:
        """The rows of both searches, each once, best first; ties keep the order of the search."""
        if self.score == "all":
            return self._rerank(query, self._merge_and_keep_scores(vector_results, fts_results))
        return self._rerank(query, self.merge_results(vector_results, fts_results))

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows of a search by vector, best first; ties keep the order of the search."""
        return self._rerank(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows of a full-text search, best first; ties keep the order of the search."""
        return self._rerank(query, fts_results)

    def _rerank(self, query: str, rows: pa.Table) -> pa.Table:
        if self.column not in rows.column_names:
            raise InvalidInput(
                f"the rows have no column '{self.column}'; expected one of "
                f"{', '.join(rows.column_names)}: name it with column=..., and select it"
            )
        texts = ["" if text is None else text for text in rows[self.column].to_pylist()]
        ranked = self.model.rerank(words_of(query), texts) if texts else []
        scores = pa.array([line.probability for line in ranked], type=pa.float32())
        order = pa.array([line.index for line in ranked], type=pa.int64())
        best_first = rows.take(order).append_column(RELEVANCE, scores)
        if self.score == "all":
            return best_first
        return best_first.drop_columns(
            [name for name in FIRST_STAGE if name in best_first.column_names]
        )


def words_of(query: object) -> str:
    """The words of a search: a str, or one of LanceDB's full-text queries that holds words.

    Raises InvalidInput for a query that is made of several others.
    """
    words = query if isinstance(query, str) else getattr(query, "query", None)
    if not isinstance(words, str):
        raise InvalidInput(
            f"the query is {query!r:.80}; expected words to rank by: pass "
            "rerank(reranker, query_string='...')"
        )
    return words
