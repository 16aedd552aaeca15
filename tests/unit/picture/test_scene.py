"""What is drawn of a large index, and what each point stands for."""

from __future__ import annotations

import numpy as np
import pytest

from secondpass.errors import InvalidInput
from secondpass.picture.page import Mark
from secondpass.picture.scene import Found, sample, scene
from secondpass.types import Candidate, Hit, IndexedDocument, Passage

PASSAGES = [Passage(f"p{at}", f"text {at}", f"d{at // 3}") for at in range(30)]
DOCUMENTS = [
    IndexedDocument(f"d{at}", "", tuple(PASSAGES[3 * at : 3 * at + 3])) for at in range(10)
]


def hit(at: int, rank: int) -> Hit:
    return Hit(rank, 1.0, 0.5, 1.0, Candidate(PASSAGES[at], 2.0, rank + 4))


def test_a_small_index_is_drawn_whole():
    drawn, total = sample(DOCUMENTS, 100)

    assert total == 30
    assert drawn == PASSAGES


def test_of_a_large_one_a_sample_is_drawn_with_all_that_was_found():
    found = [hit(7, 1), hit(29, 2)]
    drawn, total = sample(DOCUMENTS, 12, found)

    assert total == 30
    assert len({passage.id for passage in drawn}) == len(drawn) == 12
    assert drawn[:2] == [PASSAGES[7], PASSAGES[29]]
    assert sample(DOCUMENTS, 12, found) == (drawn, total)
    assert [one.id for one in sample(DOCUMENTS, 1, found)[0]] == ["p7"]


def test_a_sample_is_even():
    """Each of 300 passages comes into a sample of 100 about a third of the time."""
    counts = np.zeros(300)
    for shift in range(60):
        passages = [Passage(f"{at}", "x", "d") for at in np.roll(np.arange(300), shift * 5)]
        for one in sample([IndexedDocument("d", "", tuple(passages))], 100)[0]:
            counts[int(one.id)] += 1
    assert abs(counts[:150].sum() - counts[150:].sum()) < 300


def test_no_points_are_refused():
    with pytest.raises(InvalidInput, match="points=0"):
        sample(DOCUMENTS, 0)


def test_points_stand_for_answers_candidates_and_the_query():
    passages = [PASSAGES[at] for at in (4, 9, 1, 2)]
    vectors = np.eye(5, dtype=np.float32)[:4]
    found = Found("why?", np.eye(5, dtype=np.float32)[4], [hit(4, 1), hit(9, 2)], 1)

    points = scene(passages, vectors, found, "pca", lambda passage: f"from {passage.document}")

    assert [point.mark for point in points] == [
        Mark.answer, Mark.candidate, Mark.passage, Mark.passage, Mark.query,
    ]  # fmt: skip
    assert [point.rank for point in points] == [1, 6, None, None, None]
    assert points[0].probability == 0.5
    assert points[1].source == "from d3"
    assert points[-1].text == "why?"
    alone = scene(passages, vectors, None, "pca", lambda passage: "")
    assert {point.mark for point in alone} == {Mark.passage}
