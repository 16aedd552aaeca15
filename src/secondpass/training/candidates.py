"""Candidates: what both legs find for a block of queries, and how the mixture scores it.

queries -> vectors, all at once -> each leg, many queries at a time -> cosines -> mixture -> ranks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.cores import usable_cores
from secondpass.retrieval.index import Index
from secondpass.training.mixture import Mixture
from secondpass.training.pairs import Question
from secondpass.training.places import Place, Places

Vectors = NDArray[np.float32]

# Half of a search is SQLite and numpy without Python's lock.
MOST_THREADS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """All that is known of a query before it is decided what its negatives are.

    `ranked` are the ids of what both legs found, the mixture's best first, ties in the order of
    finding. `cosines` are those of all candidates, right passages and strangers, by id; empty for an
    index without vectors. `right_scores` are the mixture's of the right texts, the best passage of
    each; None for what it cannot know.
    """

    question: Question
    places: Sequence[Place]
    ranked: Sequence[str]
    cosines: Mapping[str, float]
    mixture: Mixture
    right_scores: Sequence[float | None]

    def score(self, id: str) -> float:
        """The mixture's score of a passage, in deviations."""
        return self.mixture.score(id, self.cosines.get(id))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One query's answer of each leg: BM25 scores and cosines by passage id, best first."""

    words: dict[str, float]
    cosines: dict[str, float]

    def ids(self) -> list[str]:
        return list(dict.fromkeys((*self.words, *self.cosines)))


class Searcher:
    """Asks both legs of an index; the lexical one alone where it has no vectors."""

    def __init__(self, index: Index, places: Places, depth: int) -> None:
        self._index = index
        self._places = places
        self._depth = depth
        self._encoder = index.encoder()

    @property
    def legs(self) -> tuple[str, ...]:
        """The names of the legs that are asked."""
        return ("lexical",) if self._encoder is None else ("lexical", "dense")

    def sheets(
        self, questions: Sequence[Question], strangers: Sequence[Sequence[str]]
    ) -> list[Sheet]:
        """A sheet a question; `strangers` are further passages for each, by id."""
        queries = self._query_vectors(questions)
        with ThreadPoolExecutor(max_workers=min(MOST_THREADS, usable_cores())) as pool:
            found = list(pool.map(self._search, questions, queries))
        places = [[self._places.by_text[right] for right in one.rights] for one in questions]
        wanted = [
            [*each.words, *far, *(id for place in those for id in place.passages)]
            for each, far, those in zip(found, strangers, places, strict=True)
        ]
        cosines = self._cosines(queries, found, wanted)
        unknown = self._unknown_cosines(questions, queries)
        return [
            _sheet(*parts) for parts in zip(questions, places, found, cosines, unknown, strict=True)
        ]

    def _query_vectors(self, questions: Sequence[Question]) -> Sequence[Vectors | None]:
        if self._encoder is None:
            return [None] * len(questions)
        return list(self._encoder.encode_queries([one.query for one in questions]))

    def _search(self, question: Question, vector: Vectors | None) -> _Found:
        words = dict(self._index.search_lexical(question.query, self._depth))
        near = [] if vector is None else self._index.search_dense(vector, self._depth)
        return _Found(words, dict(near))

    def _cosines(
        self,
        queries: Sequence[Vectors | None],
        found: Sequence[_Found],
        wanted: Sequence[Sequence[str]],
    ) -> list[dict[str, float]]:
        """For each query the cosines of all that it found and of the wanted passages."""
        if self._encoder is None:
            return [{} for _ in queries]
        missing = [
            [id for id in dict.fromkeys(ids) if id not in each.cosines]
            for ids, each in zip(wanted, found, strict=True)
        ]
        unique = list(dict.fromkeys(id for ids in missing for id in ids))
        row_of = {id: row for row, id in enumerate(unique)}
        vectors = self._index.vectors(unique)
        return [
            each.cosines
            | dict(zip(ids, _inner(vectors[[row_of[id] for id in ids]], query), strict=True))
            for query, ids, each in zip(queries, missing, found, strict=True)
            if query is not None
        ]

    def _unknown_cosines(
        self, questions: Sequence[Question], queries: Sequence[Vectors | None]
    ) -> list[dict[str, float]]:
        """For each query the cosines of those right texts that are not in the index."""
        texts = [right for one in questions for right in one.rights]
        absent = [text for text in dict.fromkeys(texts) if not self._places.by_text[text].passages]
        if self._encoder is None or not absent:
            return [{} for _ in questions]
        rows = dict(zip(absent, self._encoder.encode_passages(absent), strict=True))
        return [
            {
                right: _inner(rows[right][None], query)[0]
                for right in one.rights
                if right in rows and query is not None
            }
            for one, query in zip(questions, queries, strict=True)
        ]


def _inner(rows: Vectors, query: Vectors) -> list[float]:
    """The cosine of each row with the query, summed row by row: the same in any company."""
    wide, asked = rows.astype(np.float64), query.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1)) * np.sqrt(np.square(asked).sum())
    cosines: list[float] = ((wide * asked).sum(axis=1) / lengths).tolist()
    return cosines


def _sheet(
    question: Question,
    places: Sequence[Place],
    found: _Found,
    cosines: Mapping[str, float],
    unknown: Mapping[str, float],
) -> Sheet:
    ids = found.ids()
    mixture = Mixture.of(ids, found.words, cosines)
    by_id = {id: mixture.score(id, cosines.get(id)) for id in ids}
    scores: list[float | None] = [None] * len(places)
    if mixture.knows:
        scores = [
            max(mixture.score(id, cosines.get(id)) for id in place.passages)
            if place.passages
            else mixture.score_unknown(unknown.get(right))
            for right, place in zip(question.rights, places, strict=True)
        ]
    ranked = sorted(ids, key=lambda id: -by_id[id])
    return Sheet(question, places, ranked, cosines, mixture, scores)
