"""The figures of the bundled model: trec_eval's measure, intervals by set, and nothing asked twice."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from recipes.evaluate import Judged, Kept, blended, interval, mean_of_sets, measures, summary


def test_ndcg_is_trec_evals_also_where_something_relevant_was_not_found():
    rng = np.random.default_rng(4)
    judged, scores, qrels, run = [], [], {}, {}
    for at in range(20):
        gains = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0], 30).tolist()
        missed = [2.0, 1.0] if at % 3 == 0 else [1.0]
        by = rng.normal(size=30)
        ideal = sorted([*(g for g in gains if g), *missed], reverse=True)
        judged.append(Judged(f"q{at}", [str(i) for i in range(30)], [0.0] * 30, gains, ideal))
        scores.append(by)
        known = gains + missed
        qrels[f"q{at}"] = {str(i): int(gain) for i, gain in enumerate(known)}
        run[f"q{at}"] = {str(i): float(score) for i, score in enumerate(by)}
    told = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    expected = [told[f"q{at}"]["ndcg_cut_10"] for at in range(20)]
    assert measures(judged, scores) == pytest.approx(expected)


def test_what_was_answered_is_not_asked_again(tmp_path):
    kept, asked = Kept(tmp_path / "a" / "b.npz"), []

    def answer(new):
        asked.append(new)
        return [np.array([at, at + 0.5]) for at in new]

    first = kept.ask(["x", "y"], answer)
    second = kept.ask(["z", "y", "x"], answer)
    assert asked == [[0, 1], [0]]
    assert np.array_equal(second[1], first[1])
    assert np.array_equal(second[2], first[0])
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.npz"]


def test_an_interval_holds_the_mean_and_weighs_sets_alike():
    rng = np.random.default_rng(0)
    large, small = rng.normal(0.1, 0.3, 400), rng.normal(0.3, 0.3, 40)
    mean, low, high = interval([large, small])
    assert mean == pytest.approx((large.mean() + small.mean()) / 2, abs=1e-4)
    assert low < mean < high
    error = np.hypot(large.std() / 20, small.std() / np.sqrt(40)) / 2
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_new_ranking_is_compared_with_all_others():
    sets = {
        "one": {"bm25": np.array([0.2, 0.4]), "mini": np.array([0.4, 0.6])},
        "two": {"bm25": np.array([1.0]), "mini": np.array([0.9])},
    }
    mean = mean_of_sets(sets, "mini")
    assert mean["ndcg@10"] == {"bm25": 0.65, "mini": 0.7}
    assert mean["more_95"]["bm25"][0] == pytest.approx(0.05)
    one = summary(sets["one"], "mini")
    assert one["queries"] == 2
    assert one["each"]["mini"] == [0.4, 0.6]
    assert one["more_95"]["bm25"] == [0.2, 0.2, 0.2]


def test_a_blend_adds_z_scores():
    judged = [Judged("q", ["a", "b", "c"], [3.0, 2.0, 1.0], [], [])]
    (both,) = blended([np.array([1.0, 2.0, 3.0])], judged, 1.0)
    assert both == pytest.approx([0, 0, 0])
