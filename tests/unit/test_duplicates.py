"""Passages that nearly repeat another: found, scored once, and said."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.duplicates import Deduplicated, first_of_each, overlap, shingles
from secondpass.errors import InvalidInput, MissingExtra
from secondpass.pipeline import Pipeline
from secondpass.testing import RERANKER_CHECKS
from secondpass.types import Candidate, Passage, Ranked, Window


class Counts:
    """A reranker that prefers short texts, notes what it scored, and may know windows and budgets."""

    first_stage_weight = 0.25

    def __init__(self):
        self.scored = []

    def rerank(self, query, texts, top_k=None, *, budget_ms=None):
        if not query.strip() or (top_k is not None and top_k < 1):
            raise InvalidInput("nonsense")
        self.scored += texts
        reached = len(texts) if budget_ms is None else 1
        lines = [
            Ranked(at, -float(len(text)), 0.5, Window(0, 1), scored=True)
            if at < reached
            else Ranked(at, float("-inf"), 0.0, scored=False)
            for at, text in enumerate(texts)
        ]
        return sorted(lines, key=lambda line: (-line.score, line.index))[:top_k]


LONG = "the quick brown fox jumps over the lazy dog and runs into the deep green forest at night"
ZH = "北京市的财政收入在去年继续增长，主要因素是高新技术产业和金融业的发展，以及消费的恢复。"
TEXTS = [LONG, "bamboo", LONG.replace("deep", "dark").upper(), "bamboo", ZH, ZH + "好", "", "!", ""]


@pytest.mark.parametrize("check", RERANKER_CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_reranker(check):
    check(Deduplicated(Counts()))


def test_near_duplicates_are_scored_once_and_share_the_score():
    counts = Counts()
    lines = Deduplicated(counts, 0.6).rerank("q", TEXTS)

    assert counts.scored == [LONG, "bamboo", ZH, "", "!"]
    by_index = {line.index: line for line in lines}
    same = {at: line.same_as for at, line in by_index.items() if line.same_as is not None}
    assert same == {2: 0, 3: 1, 5: 4, 8: 6}
    for at, other in same.items():
        assert by_index[at].score == by_index[other].score
        assert by_index[at].window is None
        assert by_index[other].window is not None
    assert sorted(by_index) == list(range(len(TEXTS)))


def test_hits_say_which_hit_they_repeat_and_the_answer_counts_them():
    class Found:
        def retrieve(self, query, depth):
            return [
                Candidate(Passage(f"{at}", text, "d"), 9.0 - at, at + 1)
                for at, text in enumerate(TEXTS)
            ]

    answer = Pipeline(Found(), Deduplicated(Counts(), 0.6)).explain("q", top_k=9)

    assert answer.blend == 0.25
    assert answer.near_duplicates == 3  # the blank ones are dropped before
    rank = {hit.passage.id: hit.rank for hit in answer.hits}
    assert {hit.passage.id: hit.same_as for hit in answer.hits} == {
        "0": None, "1": None, "2": rank["0"], "3": rank["1"], "4": None, "5": rank["4"], "7": None,
    }  # fmt: skip
    assert all(hit.same_as < hit.rank for hit in answer.hits if hit.same_as is not None)


def test_what_a_budget_does_not_reach_is_not_scored_for_its_repetitions_either():
    lines = Deduplicated(Counts(), 0.6).rerank("q", TEXTS, budget_ms=1)

    assert [(line.index, line.scored) for line in lines[:2]] == [(0, True), (2, True)]
    assert [line.index for line in lines[2:]] == [1, 3, 4, 5, 6, 7, 8]
    assert not any(line.scored for line in lines[2:])


def test_a_budget_for_a_reranker_that_knows_none_is_refused():
    class Plain:
        def rerank(self, query, texts, top_k=None):
            return [Ranked(at, 0.0, 0.5) for at in range(len(texts))]

    assert Deduplicated(Plain()).first_stage_weight == 0
    with pytest.raises(InvalidInput, match="a Plain cannot"):
        Deduplicated(Plain()).rerank("q", ["a"], budget_ms=5)


def test_texts_are_compared_by_words_and_chinese_by_characters():
    assert shingles("A b, c-D") == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("财政收入") == {("财", "政", "收"), ("政", "收", "入")}
    assert shingles("ＡＢ 熊") == {("ab", "熊")}
    assert shingles(" ,.! ") == frozenset()


def test_a_chain_of_small_changes_does_not_join_what_is_far_apart():
    words = [f"w{at}" for at in range(40)]
    chain = []
    for step in range(8):
        words[step * 5] = f"x{step}"
        chain.append(" ".join(words))
    first = first_of_each(chain, 0.8)

    assert first[1] == 0
    assert first[-1] != 0


@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.5, 0.7, 0.9, 1.0]))
def test_groups_are_those_of_comparing_every_pair(seed, threshold):
    chance = random.Random(seed)
    texts = []
    for _ in range(12):
        words = chance.choice(texts).split() if texts and chance.random() < 0.6 else None
        words = words or [f"w{chance.randrange(200)}" for _ in range(chance.randrange(1, 60))]
        for _ in range(chance.randrange(3)):
            words[chance.randrange(len(words))] = f"w{chance.randrange(200)}"
        texts.append(" ".join(words))
    expected = []
    for at, text in enumerate(texts):
        near = [
            other
            for other in range(at)
            if expected[other] == other
            and (
                texts[other] == text or overlap(shingles(texts[other]), shingles(text)) >= threshold
            )
        ]
        expected.append(near[0] if near else at)

    assert first_of_each(texts, threshold) == expected


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(InvalidInput, match="expected a share"):
        Deduplicated(Counts(), threshold)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtra, match=r"secondpass\[duplicates\]"):
        Deduplicated(Counts())
