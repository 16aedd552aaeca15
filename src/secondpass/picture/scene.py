"""Which passages are drawn, and as what? A sample of a large index, and all that a query found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InvalidInput
from secondpass.picture.page import Mark, Point
from secondpass.picture.projection import project
from secondpass.types import Hit, IndexedDocument, Passage

SEED = 1


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A query, its vector float32[dimension], and its hits, of which the first `answers` count."""

    query: str
    vector: NDArray[np.float32]
    hits: Sequence[Hit]
    answers: int


def sample(
    documents: Iterable[IndexedDocument], most: int, found: Sequence[Hit] = ()
) -> tuple[list[Passage], int]:
    """At most `most` passages, of which those found come first, and how many there are in all.

    The others are drawn evenly, the same ones each time; the documents are gone through once.
    """
    if most < 1:
        raise InvalidInput(f"points={most}; expected a whole number from 1, such as 20000")
    kept = {hit.passage.id: hit.passage for hit in found[:most]}
    room = most - len(kept)
    others: list[Passage] = []
    chance = random.Random(SEED)
    seen = total = 0
    for document in documents:
        for passage in document.passages:
            total += 1
            if passage.id in kept:
                continue
            seen += 1
            if len(others) < room:
                others.append(passage)
            elif (at := chance.randrange(seen)) < room:
                others[at] = passage
    return [*kept.values(), *others], total


def scene(
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    found: Found | None,
    method: str,
    source: Callable[[Passage], str],
) -> list[Point]:
    """A point for each passage, and one for the query; `vectors` are theirs, in their order.

    `source` says in a line where a passage stands.
    """
    rows = vectors if found is None else np.concatenate([vectors, found.vector[None, :]])
    places = project(rows, method)
    hits = {} if found is None else {hit.passage.id: hit for hit in found.hits}
    answers = 0 if found is None else found.answers
    points = [
        _point(place, passage, hits.get(passage.id), answers, source(passage))
        for place, passage in zip(places.tolist(), passages, strict=False)
    ]
    if found is not None:
        x, y = places[-1].tolist()
        points.append(Point(x, y, Mark.query, found.query))
    return points


def _point(
    place: Sequence[float], passage: Passage, hit: Hit | None, answers: int, source: str
) -> Point:
    x, y = place
    if hit is None:
        return Point(x, y, Mark.passage, passage.text, source)
    if hit.rank > answers:
        return Point(x, y, Mark.candidate, passage.text, source, hit.first_stage.rank)
    return Point(x, y, Mark.answer, passage.text, source, hit.rank, hit.probability)
