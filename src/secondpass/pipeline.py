"""Pipeline: a first stage finds candidates, a reranker puts the right ones on top.

query -> retriever.retrieve -> candidates -> reranker.rerank -> blend -> hits

A Pipeline is a Retriever itself, so that it can be another pipeline's first stage (a cascade).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from secondpass.errors import InvalidInput
from secondpass.protocols import (
    Blending,
    BudgetedReranker,
    ExpandingRetriever,
    Reranker,
    Retriever,
    takes_budget,
)
from secondpass.types import Candidate, Expanded, Expansion, Hit, Ranked

DEFAULT_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits for a query, and what happened on the way to them.

    `timings_ms` has 'retrieve', 'rerank' and 'total'. `candidates` counts what the first stage
    found, `blank` those of them that held no text and were dropped, `identical` those whose text
    another one has too, `windowed` those that were read in several windows, and `truncated` those
    of which a part was not read. `unscored` counts those that a budget of time left in the first
    stage's order. `below_score` counts the candidates that a threshold kept from the reranker, and
    `below_probability` those that one dropped after it. `blend` is the weight that the first stage's
    score had. `expansion` has the further queries that were asked, or why none were; None where the
    first stage does not expand. What it left out for an equal text is among `identical`.
    `near_duplicates` counts those that share the score of another which they nearly repeat.
    """

    query: str
    hits: list[Hit]
    timings_ms: dict[str, float]
    candidates: int
    blank: int = 0
    identical: int = 0
    windowed: int = 0
    truncated: int = 0
    unscored: int = 0
    below_score: int = 0
    below_probability: int = 0
    blend: float = 0.0
    expansion: Expansion | None = None
    near_duplicates: int = 0


class Pipeline:
    """Two stages as one. Without a reranker the first stage's order stands.

    `depth` candidates go into the reranker. `blend` is the weight of the first stage's score, or of
    each of its legs', beside the model's, as z-scores over the candidates; None takes what the model
    states for itself, 0 leaves the model alone. The model reads a passage's title and headings above
    its text. `budget_ms` bounds the time of the reranker: candidates are scored in the first stage's
    order, and those that it does not reach keep that order below the others.
    """

    def __init__(
        self,
        retriever: Retriever,
        reranker: Reranker | None,
        *,
        depth: int = DEFAULT_DEPTH,
        blend: float | None = None,
        budget_ms: float | None = None,
    ) -> None:
        if not hasattr(retriever, "retrieve"):
            raise InvalidInput(
                f"a {type(retriever).__name__} cannot retrieve; pass a retriever, such as "
                "index.retriever()"
            )
        if not isinstance(depth, int) or depth < 1:
            raise InvalidInput(f"depth={depth!r}; expected a whole number from 1, such as 50")
        if blend is None:
            blend = reranker.first_stage_weight if isinstance(reranker, Blending) else 0.0
        if not isinstance(blend, float | int) or not math.isfinite(blend) or blend < 0:
            raise InvalidInput(f"blend={blend} is no weight; expected 0 or more, such as 0.3")
        if budget_ms is not None and not takes_budget(reranker):
            raise InvalidInput(
                f"budget_ms={budget_ms} needs a reranker that can stop in time, such as CrossEncoder; "
                f"a {type(reranker).__name__} cannot: leave budget_ms out"
            )
        self.retriever = retriever
        self.reranker = reranker
        self.depth = depth
        self.blend = blend
        self.budget_ms = budget_ms

    def search(
        self,
        query: str,
        top_k: int = 10,
        *,
        min_probability: float | None = None,
        min_first_stage: float | None = None,
    ) -> list[Hit]:
        """The `top_k` best hits, best first; fewer where fewer were found or reach the thresholds.

        `min_first_stage` is a score of the first stage, as its candidates carry it, and
        `min_probability` lies in 0..1. Ties keep the first stage's order. Raises InvalidInput for a
        blank query, top_k < 1 and thresholds that make no sense.
        """
        return self.explain(
            query, top_k, min_probability=min_probability, min_first_stage=min_first_stage
        ).hits

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """The hits as candidates, with the score that ordered them."""
        hits = self.search(query, depth)
        return [Candidate(hit.passage, hit.order_score, hit.rank) for hit in hits]

    async def asearch(
        self,
        query: str,
        top_k: int = 10,
        *,
        min_probability: float | None = None,
        min_first_stage: float | None = None,
    ) -> list[Hit]:
        """As `search`, in a thread: the event loop goes on meanwhile."""
        from asyncio import to_thread

        return await to_thread(
            self.search,
            query,
            top_k,
            min_probability=min_probability,
            min_first_stage=min_first_stage,
        )

    async def aretrieve(self, query: str, depth: int) -> list[Candidate]:
        """As `retrieve`, in a thread: the event loop goes on meanwhile."""
        from asyncio import to_thread

        return await to_thread(self.retrieve, query, depth)

    def explain(
        self,
        query: str,
        top_k: int = 10,
        *,
        min_probability: float | None = None,
        min_first_stage: float | None = None,
    ) -> Answer:
        """The hits of `search`, with the time of each stage and all that was left out or cut.

        Where more hits are asked for than `depth`, that many candidates are reranked.
        """
        if not isinstance(query, str) or not query.strip():
            raise InvalidInput(f"the query is {query!r:.80}; expected a question or keywords")
        if not isinstance(top_k, int) or top_k < 1:
            raise InvalidInput(f"top_k={top_k!r}; expected a whole number from 1")
        self._check_thresholds(min_probability, min_first_stage)
        start = time.perf_counter()
        found, expanded = self._retrieve(query, max(self.depth, top_k))
        reaching = [one for one in found if min_first_stage is None or one.score >= min_first_stage]
        candidates = [candidate for candidate in reaching if candidate.passage.text.strip()]
        retrieved = time.perf_counter()
        ranked = self._rerank(query, candidates)
        every = self._order(candidates, ranked)
        hits = [hit for hit in every if (hit.probability or 0) >= (min_probability or 0)]
        end = time.perf_counter()
        lines = [line for line in ranked if line is not None]
        return Answer(
            query=query,
            hits=hits[:top_k],
            timings_ms={
                "retrieve": 1000 * (retrieved - start),
                "rerank": 1000 * (end - retrieved),
                "total": 1000 * (end - start),
            },
            candidates=len(found),
            blank=len(reaching) - len(candidates),
            identical=(expanded.identical if expanded else 0)
            + len(candidates)
            - len({c.passage.text_in_context for c in candidates}),
            windowed=sum(line.windows > 1 for line in lines),
            truncated=sum(line.truncated for line in lines),
            unscored=sum(not line.scored for line in lines),
            below_score=len(found) - len(reaching),
            below_probability=len(every) - len(hits),
            blend=self.blend if self.reranker is not None else 0.0,
            expansion=expanded.expansion if expanded else None,
            near_duplicates=sum(line.same_as is not None for line in lines),
        )

    def _retrieve(self, query: str, depth: int) -> tuple[list[Candidate], Expanded | None]:
        if isinstance(self.retriever, ExpandingRetriever):
            expanded = self.retriever.retrieve_expanded(query, depth)
            return expanded.candidates, expanded
        return self.retriever.retrieve(query, depth), None

    def _check_thresholds(self, probability: float | None, first_stage: float | None) -> None:
        if probability is not None and self.reranker is None:
            raise InvalidInput(
                f"min_probability={probability} needs a reranker, which gives probabilities; "
                "expected none without one; pass min_first_stage instead"
            )
        if probability is not None and not 0 <= probability <= 1:
            raise InvalidInput(f"min_probability={probability}; expected a number from 0 to 1")
        if first_stage is not None and not math.isfinite(first_stage):
            raise InvalidInput(f"min_first_stage={first_stage}; expected a finite number, 0.3 say")

    def _rerank(self, query: str, candidates: Sequence[Candidate]) -> list[Ranked | None]:
        """The reranker's line for each candidate, in the order of candidates."""
        lines: list[Ranked | None] = [None] * len(candidates)
        if self.reranker is not None and candidates:
            texts = [candidate.passage.text_in_context for candidate in candidates]
            if self.budget_ms is None:
                ranked = self.reranker.rerank(query, texts)
            else:  # takes_budget has said so
                budgeted = cast(BudgetedReranker, self.reranker)
                ranked = budgeted.rerank(query, texts, budget_ms=self.budget_ms)
            for line in ranked:
                lines[line.index] = line
        return lines

    def _order(self, candidates: Sequence[Candidate], ranked: Sequence[Ranked | None]) -> list[Hit]:
        """All candidates as hits, best first, ties in the first stage's order."""
        scores = [
            candidate.score if line is None else line.score
            for candidate, line in zip(candidates, ranked, strict=True)
        ]
        order_scores = self._order_scores(candidates, ranked)
        unscored = [line is not None and not line.scored for line in ranked]
        order = sorted(range(len(candidates)), key=lambda at: (unscored[at], -order_scores[at]))
        ranks = {at: rank for rank, at in enumerate(order, start=1)}
        return [
            Hit(
                rank=rank,
                score=scores[at],
                probability=None if (line := ranked[at]) is None else line.probability,
                order_score=order_scores[at],
                first_stage=candidates[at],
                ranked=line,
                same_as=None if line is None or line.same_as is None else ranks[line.same_as],
            )
            for rank, at in enumerate(order, start=1)
        ]

    def _order_scores(
        self, candidates: Sequence[Candidate], ranked: Sequence[Ranked | None]
    ) -> list[float]:
        """What orders each candidate: its score, blended where the pipeline blends.

        Candidates that a budget left out get the lowest of the others', so that a further stage can
        add it to its own; where it left out all of them, the first stage's scores stand.
        """
        first = [candidate.score for candidate in candidates]
        reached = [at for at, line in enumerate(ranked) if line is not None and line.scored]
        if not reached:
            return first
        scores = [line.score for at in reached if (line := ranked[at]) is not None]
        if self.blend:
            others = first_stage_z_scores([candidates[at] for at in reached])
            scores = [
                model + self.blend * other
                for model, other in zip(z_scores(scores), others, strict=True)
            ]
        order_scores = [min(scores)] * len(candidates)
        for at, score in zip(reached, scores, strict=True):
            order_scores[at] = score
        return order_scores


def first_stage_z_scores(candidates: Sequence[Candidate]) -> list[float]:
    """The z-score of each candidate's first-stage score; of several legs, the sum of theirs.

    The legs' own scores say more than the fused one, which knows ranks only. What a leg did not
    find counts as its lowest among the candidates.
    """
    legs = dict.fromkeys(leg for candidate in candidates for leg in candidate.legs)
    if not legs:
        return z_scores([candidate.score for candidate in candidates])
    sums = [0.0] * len(candidates)
    for leg in legs:
        found = [one.legs[leg].score if leg in one.legs else None for one in candidates]
        lowest = min(score for score in found if score is not None)
        scores = z_scores([lowest if score is None else score for score in found])
        sums = [total + score for total, score in zip(sums, scores, strict=True)]
    return sums


def z_scores(scores: Sequence[float]) -> list[float]:
    """How many standard deviations each score lies above the mean; all 0 where they are equal."""
    if not scores:
        return []
    # Less the first: the mean of equal numbers may be another number, by rounding, and so a
    # deviation out of nothing.
    rest = [score - scores[0] for score in scores]
    mean = math.fsum(rest) / len(rest)
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in rest) / len(rest))
    return [(one - mean) / deviation if deviation > 0 else 0.0 for one in rest]
