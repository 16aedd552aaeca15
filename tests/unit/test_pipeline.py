"""Two stages as one: what goes in, who comes first, what is said about it."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secondpass.engine import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.pipeline import Pipeline, first_stage_z_scores, z_scores
from secondpass.retrieval.index import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.testing import RETRIEVER_CHECKS
from secondpass.types import Candidate, Hit, LegRank, Passage, Ranked, Window

TEXTS = {
    "bear": "the giant panda is a bear",
    "score": "a panda gets a score",
    "why": "why is a panda a panda",
    "none": "lorem ipsum dolor",
}


class Fixed:
    """A first stage that finds the passages it was made with, in this order."""

    def __init__(self, *texts: str, scores: tuple[float, ...] | None = None) -> None:
        self.depths: list[int] = []
        given_scores = scores or tuple(float(-at) for at in range(len(texts)))
        self.candidates = [
            Candidate(Passage(f"p{at}", text, f"d{at}"), score, at + 1)
            for at, (text, score) in enumerate(zip(texts, given_scores, strict=True))
        ]

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        self.depths.append(depth)
        return self.candidates[:depth]


class Lengths:
    """A reranker that prefers longer texts."""

    first_stage_weight = 0.5

    def rerank(self, query: str, texts, top_k=None) -> list[Ranked]:
        order = sorted(range(len(texts)), key=lambda at: (-len(texts[at]), at))
        return [Ranked(at, float(len(texts[at])), 0.5) for at in order][:top_k]


class Given:
    """A reranker that has been told each text's logit."""

    def __init__(self, logits: dict[str, float]) -> None:
        self.logits = logits

    def rerank(self, query: str, texts, top_k=None) -> list[Ranked]:
        order = sorted(range(len(texts)), key=lambda at: -self.logits[texts[at]])
        logits = [self.logits[texts[at]] for at in order]
        lines = zip(order, logits, strict=True)
        return [Ranked(at, logit, 1 / (1 + math.exp(-logit))) for at, logit in lines][:top_k]


@pytest.fixture(scope="module")
def index() -> Index:
    made = Index(MemoryStore())
    made.add(Passage(f"{name}#0", text, name) for name, text in TEXTS.items())
    return made


@pytest.mark.parametrize("check", RETRIEVER_CHECKS, ids=lambda check: check.__name__)
def test_a_pipeline_is_a_retriever(check, index, checkpoint):
    model = CrossEncoder.load(checkpoint("bert"))

    check(Pipeline(index.retriever(), model, depth=10), "panda")
    check(Pipeline(Pipeline(index.retriever(), None), model), "panda")


def test_hits_come_in_the_model_s_order_with_their_first_stage(index, checkpoint):
    model = CrossEncoder.load(checkpoint("bert"))
    candidates = index.retriever().retrieve("panda", 10)
    expected = model.rerank("panda", [one.passage.text for one in candidates])

    hits = Pipeline(index.retriever(), model).search("panda")

    assert [hit.score for hit in hits] == [line.score for line in expected]
    assert [hit.probability for hit in hits] == [line.probability for line in expected]
    assert [hit.first_stage for hit in hits] == [candidates[line.index] for line in expected]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.moved for hit in hits] == [hit.first_stage.rank - hit.rank for hit in hits]


def test_the_blend_adds_z_scores_and_leaves_the_scores_alone():
    first = Fixed("a", "four", "sixsix", scores=(9.0, 3.0, 0.0))

    hits = Pipeline(first, Lengths(), blend=2.0).search("x")

    expected = {
        name: model + 2.0 * lexical
        for name, model, lexical in zip(
            ("p0", "p1", "p2"), z_scores([1, 4, 6]), z_scores([9, 3, 0]), strict=True
        )
    }
    assert {hit.passage.id: hit.order_score for hit in hits} == pytest.approx(expected)
    assert [hit.passage.id for hit in hits] == sorted(expected, key=expected.get, reverse=True)
    assert {hit.passage.id: hit.score for hit in hits} == {"p0": 1, "p1": 4, "p2": 6}


def test_the_blend_adds_the_scores_of_each_leg():
    legs = [
        {"lexical": LegRank(1, 9.0), "dense": LegRank(3, 0.2)},
        {"lexical": LegRank(2, 3.0)},
        {"dense": LegRank(1, 0.8)},
    ]
    candidates = [
        Candidate(Passage(id=str(at), text="x", document="d"), 1 / (60 + at), at + 1, found)
        for at, found in enumerate(legs)
    ]

    blended = first_stage_z_scores(candidates)

    words, vectors = z_scores([9.0, 3.0, 3.0]), z_scores([0.2, 0.2, 0.8])
    assert blended == pytest.approx([a + b for a, b in zip(words, vectors, strict=True)])
    alone = [replace(one, legs={}) for one in candidates]
    assert first_stage_z_scores(alone) == z_scores([one.score for one in alone])


def test_the_blend_is_what_the_model_states_unless_chosen():
    assert Pipeline(Fixed(), Lengths()).blend == 0.5
    assert Pipeline(Fixed(), Lengths(), blend=0).blend == 0
    assert Pipeline(Fixed(), None).blend == 0


def test_without_a_reranker_the_first_stage_stands():
    (first, second) = Pipeline(Fixed("a", "longer"), None).search("x")

    assert (first.score, first.probability, first.order_score) == (0.0, None, 0.0)
    assert (first.rank, second.rank, first.moved, first.ranked) == (1, 2, 0, None)


def test_what_was_dropped_or_shared_is_said():
    answer = Pipeline(Fixed("a", " \n", "same", "same", ""), Lengths(), depth=10).explain("x")

    assert [hit.passage.id for hit in answer.hits] == ["p2", "p3", "p0"]
    assert (answer.candidates, answer.blank, answer.identical) == (5, 2, 1)
    assert set(answer.timings_ms) == {"retrieve", "rerank", "total"}
    assert answer.timings_ms["total"] >= answer.timings_ms["rerank"] >= 0
    assert answer.blend == 0.5


def test_windows_and_truncation_are_counted():
    class Windowed(Lengths):
        def rerank(self, query, texts, top_k=None):
            return [
                Ranked(0, 2.0, 0.9, Window(3, 9), windows=3),
                Ranked(1, 1.0, 0.7, Window(0, 4), truncated=True),
            ]

    answer = Pipeline(Fixed("long text", "cut text"), Windowed()).explain("x")

    assert (answer.windowed, answer.truncated) == (1, 1)
    assert answer.hits[0].window == Window(3, 9)


def test_a_window_is_told_in_characters_of_the_text_alone():
    passage = Passage("p", "the text", "d", title="A title", headings=("One", "Two"))
    ranked = Ranked(
        0, 1.0, 0.7, Window(len("A title\nOne\nTwo\n") + 4, len("A title\nOne\nTwo\n") + 8)
    )
    hit = Hit(1, 1.0, 0.7, 1.0, Candidate(passage, 1.0, 1), ranked)

    assert hit.window == Window(4, 8)
    assert passage.text[4:8] == "text"


def test_the_model_reads_title_and_headings_above_the_text():
    seen: list[str] = []

    class Listening(Lengths):
        def rerank(self, query, texts, top_k=None):
            seen.extend(texts)
            return super().rerank(query, texts, top_k)

    first = Fixed("x")
    passage = Passage("p", "Two: the text", "d", title="A title", headings=("One", "Two"))
    first.candidates = [Candidate(passage, 1.0, 1)]

    Pipeline(first, Listening()).search("x")

    assert seen == ["A title\nOne\nTwo: the text"]


def test_depth_bounds_the_reranking_and_top_k_widens_it():
    first = Fixed(*"abcdef")
    pipeline = Pipeline(first, Lengths(), depth=3)

    assert len(pipeline.search("x", 2)) == 2
    assert len(pipeline.search("x", 5)) == 5
    assert len(pipeline.search("x", 50)) == 6
    assert first.depths == [3, 5, 50]


def test_nothing_found_gives_no_hits():
    assert Pipeline(Fixed(), Lengths()).search("x") == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: Pipeline(Fixed(), None, depth=0),
        lambda: Pipeline(Fixed(), None, blend=-1),
        lambda: Pipeline(Fixed(), None, blend=float("nan")),
        lambda: Pipeline(Fixed(), None).search("  "),
        lambda: Pipeline(Fixed(), None).search("x", 0),
        lambda: Pipeline(Fixed(), None).search("x", 2.5),
        lambda: Pipeline(Fixed(), None).search(None),
        lambda: Pipeline(Fixed(), None, blend="x"),
        lambda: Pipeline(Index(MemoryStore()), None),
    ],
)
def test_senseless_calls_are_refused(call):
    with pytest.raises(InvalidInput):
        call()


@given(st.lists(st.floats(-1e6, 1e6), max_size=20), st.floats(0.1, 10), st.floats(-10, 10))
@example([699051.538809106] * 3, 1.0, 0.0)
@example([699051.538809106, 699051.538809106, 699051.5388091061], 1.0, 0.0)
def test_z_scores_have_no_scale(scores, factor, shift):
    values = z_scores(scores)

    assert len(values) == len(scores)
    assert all(abs(value) <= len(scores) for value in values)
    assert sum(values) == pytest.approx(0, abs=1e-5)
    if max(scores, default=0) - min(scores, default=0) > 1:
        assert z_scores([factor * one + shift for one in scores]) == pytest.approx(values, abs=1e-5)


class TwoInTime(Lengths):
    """Reaches two texts within any budget."""

    def rerank(self, query: str, texts, top_k=None, *, budget_ms=None) -> list[Ranked]:
        reached = len(texts) if budget_ms is None else 2
        ranked = super().rerank(query, texts[:reached])
        missed = [Ranked(at, float("-inf"), 0.0, scored=False) for at in range(reached, len(texts))]
        return [*ranked, *missed][:top_k]


@pytest.mark.parametrize("blend", [0.0, 0.5])
def test_what_a_budget_left_out_keeps_the_first_stages_order_below(blend):
    first = Fixed("aa", "bbbb", "cccccc", "d", scores=(9.0, 8.0, 7.0, 6.0))

    answer = Pipeline(first, TwoInTime(), blend=blend, budget_ms=5).explain("query")

    assert [hit.document for hit in answer.hits[2:]] == ["d2", "d3"]
    assert answer.unscored == 2
    floor = min(hit.order_score for hit in answer.hits[:2])
    assert [hit.order_score for hit in answer.hits[2:]] == [floor, floor]
    candidates = Pipeline(first, TwoInTime(), blend=blend, budget_ms=5).retrieve("query", 4)
    assert [one.passage.id for one in candidates] == [hit.passage.id for hit in answer.hits]


def test_a_budget_needs_a_reranker_that_can_stop():
    with pytest.raises(InvalidInput, match="cannot: leave budget_ms out"):
        Pipeline(Fixed("a"), Lengths(), budget_ms=5)


def test_thresholds_drop_and_count():
    first = Fixed("a", "b", "c", "", "d", scores=(0.9, 0.5, 0.3, 0.3, 0.1))
    pipeline = Pipeline(first, Given({"a": -2.0, "b": 3.0, "c": 0.0, "d": 9.0}), blend=0)
    answer = pipeline.explain("q", min_first_stage=0.3, min_probability=0.5)
    assert [hit.text for hit in answer.hits] == ["b", "c"]
    assert (answer.candidates, answer.below_score, answer.below_probability) == (5, 1, 1)
    assert answer.blank == 1
    assert pipeline.search("q", min_first_stage=0.3, min_probability=0.5) == answer.hits
    assert pipeline.search("q", 1, min_probability=0.999)[0].text == "d"
    assert pipeline.search("q", min_first_stage=1.0) == []
    assert len(pipeline.search("q", min_probability=0.0)) == 4


def test_thresholds_without_a_reranker_and_nonsense():
    pipeline = Pipeline(Fixed("a", "b", scores=(0.9, 0.1)), None)
    assert [hit.text for hit in pipeline.search("q", min_first_stage=0.3)] == ["a"]
    with pytest.raises(InvalidInput, match=r"min_probability=0\.5 needs a reranker"):
        pipeline.search("q", min_probability=0.5)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidInput, match="expected a number from 0 to 1"):
            Pipeline(Fixed(), Given({})).search("q", min_probability=wrong)
    with pytest.raises(InvalidInput, match="min_first_stage=nan; expected a finite number"):
        pipeline.search("q", min_first_stage=math.nan)


def test_async_calls_answer_the_same_and_leave_the_loop_free():
    beats, enough = 0, threading.Event()

    class Waiting(Fixed):
        def retrieve(self, query, depth):
            # Goes on only when the loop has turned meanwhile, which it cannot where it is blocked.
            assert enough.wait(30)
            return super().retrieve(query, depth)

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            if beats >= 5:
                enough.set()
            await asyncio.sleep(0)

    async def both():
        heart = asyncio.create_task(beat())
        hits = await pipeline.asearch("q", 1, min_first_stage=0.2)
        candidates = await pipeline.aretrieve("q", 2)
        heart.cancel()
        return hits, candidates

    pipeline = Pipeline(Waiting("a", "b", scores=(0.9, 0.1)), None)
    hits, candidates = asyncio.run(both())
    assert beats >= 5
    assert hits == pipeline.search("q", 1, min_first_stage=0.2)
    assert candidates == pipeline.retrieve("q", 2)
