from __future__ import annotations

import numpy as np
import pytest

from secondpass.errors import InvalidInput
from secondpass.retrieval.vectors import Block, nearest, unit_query, with_unit_vectors
from secondpass.types import EncoderRecord, IndexedDocument, Passage

RECORD = EncoderRecord("e", "f", 3)


def document(*vectors):
    passages = tuple(Passage(f"a#{at}", "x", "a") for at in range(len(vectors)))
    return IndexedDocument("a", "1", passages, np.array(vectors, dtype=np.float32))


@pytest.mark.parametrize("length", [1e-30, 1e-3, 1.0, 1e30])
def test_vectors_of_any_length_come_to_length_1(length):
    (unit,) = with_unit_vectors(document([length * 3, 0, length * 4]), RECORD).vectors
    assert unit == pytest.approx([0.6, 0, 0.8])
    assert unit_query(np.array([0, length, 0], dtype=np.float32), RECORD).tolist() == [0, 1, 0]


def test_vectors_of_length_1_stay_to_the_bit_and_the_given_ones_are_not_changed():
    rows = np.random.default_rng(1).standard_normal((50, 3))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    given = IndexedDocument("a", "1", document(*rows).passages, rows)
    assert with_unit_vectors(given, RECORD).vectors.tolist() == rows.tolist()
    doubled = IndexedDocument("a", "1", given.passages, rows * 2)
    with_unit_vectors(doubled, RECORD)
    assert doubled.vectors.tolist() == (rows * 2).tolist()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([(1, 0, 0), (0, 0, 0)], "the vector of passage 'a#1' is zero; expected finite"),
        ([(1, 0, 0), (0, np.nan, 0)], "the vector of passage 'a#1' is not finite"),
        ([(np.inf, 0, 0)], "the vector of passage 'a#0' is not finite"),
        (
            [(1, 0)],
            r"document 'a', first passage 'a#0', are float32\[1, 2\]; expected float32\[1, 3",
        ),
    ],
)
def test_a_senseless_vector_is_named(vectors, message):
    with pytest.raises(InvalidInput, match=message):
        with_unit_vectors(document(*vectors), RECORD)


def test_equal_vectors_have_one_score_wherever_they_stand():
    chance = np.random.default_rng(2)
    row = chance.standard_normal(384)
    row = (row / np.linalg.norm(row)).astype(np.float32)
    query = unit_query(chance.standard_normal(384).astype(np.float32), EncoderRecord("e", "f", 384))
    blocks = [
        Block(np.arange(start, end), np.tile(row, (end - start, 1)))
        for start, end in ((0, 1), (1, 8), (8, 1000), (1000, 1003))
    ]
    found = nearest(blocks, query, 1002)
    assert [number for number, _ in found] == list(range(1002))
    assert len({score for _, score in found}) == 1


def test_a_tie_at_the_edge_goes_to_the_older():
    rows = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=np.float32)
    blocks = [Block(np.array([3, 5]), rows[:2]), Block(np.array([6, 9]), rows[2:])]
    query = np.array([0, 1, 0], dtype=np.float32)
    assert nearest(blocks, query, 1) == [(3, 1.0)]
    assert nearest(blocks, query, 3) == [(3, 1.0), (6, 1.0), (5, 0.0)]
    assert nearest(blocks, query, 3, np.array([5, 6, 7, 9])) == [(6, 1.0), (5, 0.0), (9, 0.0)]
    assert nearest([], query, 3) == []
