"""What does a guest tell its host of a passage and of a hit, beside the text? Names and numbers."""

from __future__ import annotations

import math

from secondpass.types import Hit, Passage


def place_of(passage: Passage) -> dict[str, object]:
    """What is known of where the passage stands, and the passage's own metadata above it.

    `source` is a path, `document` the id of a document of several passages, `start_index` an offset
    into it. What is not known is left out.
    """
    place: dict[str, object] = {
        "source": passage.path,
        "document": passage.document if passage.document != passage.id else None,
        "title": passage.title or None,
        "page": passage.page,
        "headings": list(passage.headings) or None,
        "start_index": passage.start if passage.end else None,
    }
    known = {name: value for name, value in place.items() if value is not None}
    return {**known, **passage.metadata}


def relevance_of(hit: Hit) -> float:
    """The reranker's probability; the first stage's score where there is no reranker."""
    return float(hit.score if hit.probability is None else hit.probability)


def scores_of(hit: Hit) -> dict[str, float]:
    """`retrieval_score`, the first stage's, and `order_score`, which the hits are ordered by."""
    scores = {"retrieval_score": hit.first_stage.score, "order_score": hit.order_score}
    return {name: float(score) for name, score in scores.items() if math.isfinite(score)}
