"""The mixture, held against the pipeline's sum of z-scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.pipeline import first_stage_z_scores
from secondpass.training.mixture import Mixture
from secondpass.types import Candidate, LegRank, Passage

SCORE = st.integers(-50, 50).map(lambda number: number / 8)


@given(rows=st.lists(st.tuples(st.none() | SCORE, SCORE), min_size=1, max_size=8))
def test_it_is_the_sum_of_both_legs_deviations(rows):
    words = {f"p{at}": word for at, (word, _) in enumerate(rows) if word is not None}
    cosines = {f"p{at}": cosine for at, (_, cosine) in enumerate(rows)}
    candidates = []
    for id, cosine in cosines.items():
        legs = {"lexical": LegRank(1, words[id])} if id in words else {}
        legs["dense"] = LegRank(1, cosine)
        candidates.append(Candidate(Passage(id, "text", "d"), 0.0, 1, legs))

    mixture = Mixture.of(list(cosines), words, cosines)

    found = [mixture.score(id, cosines[id]) for id in cosines]
    assert found == pytest.approx(first_stage_z_scores(candidates), abs=1e-9)


def test_what_the_words_did_not_find_counts_as_their_lowest():
    mixture = Mixture.of(["a", "b"], {"a": 3.0, "b": 1.0}, {})

    assert mixture.score("elsewhere", None) == mixture.score("b", None) == -1
    assert mixture.score("a", None) == 1


def test_a_text_that_is_not_in_the_index_is_scored_by_its_vector():
    cosines = {"a": 0.9, "b": 0.5}
    both, dense = Mixture.of(["a", "b"], {"a": 2.0}, cosines), Mixture.of(["a", "b"], {}, cosines)

    assert both.score_unknown(0.9) == pytest.approx(2.0)
    assert dense.score_unknown(0.9) == pytest.approx(1.0)
    assert both.score_unknown(None) is None
    assert Mixture.of(["a"], {"a": 2.0}, {}).score_unknown(0.9) is None


def test_nothing_found_is_known_to_be_nothing():
    assert not Mixture.of([], {}, {"right": 0.3}).knows
