from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput, UnknownName
from secondpass.retrieval import Fusion, fuse
from secondpass.types import Candidate, LegRank, Passage


def leg(*scored: tuple[str, float]) -> list[Candidate]:
    return [
        Candidate(Passage(id, id, id), score, rank)
        for rank, (id, score) in enumerate(scored, start=1)
    ]


WORDS = leg(("a", 9.0), ("b", 5.0), ("c", 1.0))
VECTORS = leg(("c", 0.9), ("d", 0.7), ("a", 0.5))
LEGS = {"lexical": WORDS, "dense": VECTORS}


def scores(found: list[Candidate]) -> dict[str, float]:
    return {one.passage.id: one.score for one in found}


def test_reciprocal_ranks_by_hand():
    found = fuse(LEGS, Fusion())
    by_hand = {"a": 1 / 61 + 1 / 63, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 62}
    # a and c, b and d are equal: the better rank in any leg is equal too, the first leg decides.
    assert [one.passage.id for one in found] == ["a", "c", "b", "d"]
    assert scores(found) == pytest.approx(by_hand, rel=1e-12)
    assert [one.rank for one in found] == [1, 2, 3, 4]
    assert found[0].legs == {"lexical": LegRank(1, 9.0), "dense": LegRank(3, 0.5)}
    assert found[3].legs == {"dense": LegRank(2, 0.7)}


def test_k_and_weights_by_hand():
    found = fuse(LEGS, Fusion(k=0, weights={"dense": 3}))
    by_hand = {"a": 1 + 3 / 3, "b": 1 / 2, "c": 1 / 3 + 3, "d": 3 / 2}
    assert scores(found) == pytest.approx(by_hand)
    assert [one.passage.id for one in found] == ["c", "a", "d", "b"]
    assert fuse(LEGS, Fusion(weights={"dense": 0}))[-1].passage.id == "d"


def test_min_max_by_hand():
    found = fuse(LEGS, Fusion("min-max", weights={"lexical": 0.5}))
    by_hand = {"a": 0.5 * 1 + 0, "b": 0.5 * 0.5, "c": 0 + 1, "d": 0.5}
    assert scores(found) == pytest.approx(by_hand)
    assert [one.passage.id for one in found] == ["c", "a", "d", "b"]


def test_z_scores_by_hand():
    one = 1.5**0.5  # three evenly spaced scores lie so many deviations apart
    found = fuse(LEGS, Fusion("z-score"))
    by_hand = {"a": one - one, "b": 0 - one, "c": -one + one, "d": -one + 0}
    assert scores(found) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("method", ["rrf", "min-max", "z-score"])
def test_empty_legs_and_equal_scores_make_sense(method):
    assert fuse({"lexical": [], "dense": []}, Fusion(method)) == []
    equal = fuse({"lexical": [], "dense": leg(("a", 1.0), ("b", 1.0))}, Fusion(method))
    assert [one.passage.id for one in equal] == ["a", "b"]


def test_nonsense_is_refused():
    with pytest.raises(UnknownName, match="unknown fusion 'sum'; choose from min-max, rrf, z-sc"):
        Fusion("sum")
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="is no rank; expected 0 or more"):
            Fusion(k=wrong)
        with pytest.raises(InvalidInput, match="of leg 'dense' is none; expected 0 or more"):
            Fusion(weights={"dense": wrong})
    with pytest.raises(UnknownName, match="unknown leg with a weight 'images'; choose from dense"):
        fuse(LEGS, Fusion(weights={"images": 1}))


lists = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.floats(-5, 5)),
    max_size=8,
    unique_by=lambda one: one[0],
).map(lambda scored: leg(*sorted(scored, key=lambda one: -one[1])))


@given(lists, lists, st.sampled_from(["rrf", "min-max", "z-score"]))
def test_the_order_of_the_legs_changes_no_score(left, right, method):
    one = fuse({"l": left, "r": right}, Fusion(method))
    other = fuse({"r": right, "l": left}, Fusion(method))
    assert scores(one) == scores(other)
    assert {one.passage.id for one in one} == {one.passage.id for one in left + right}
    assert [each.score for each in one] == sorted((each.score for each in one), reverse=True)
