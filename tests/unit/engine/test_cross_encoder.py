"""From a query and texts to ranked lines: order, windows, truncation, company, bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.engine import CrossEncoder, Limits
from secondpass.engine.scoring import check_finite, sigmoid
from secondpass.errors import EngineError, InvalidInput
from secondpass.testing import RERANKER_CHECKS

WORDS = "panda bear score 大熊猫 中国 answer why lorem 42 because species".split()
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=90).map(" ".join), max_size=12)


@pytest.fixture(scope="module")
def model(checkpoint) -> CrossEncoder:
    return CrossEncoder.load(checkpoint("bert"))


@pytest.mark.parametrize("check", RERANKER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", ["bert", "xlm-roberta"])
def test_conformance(check, variant, checkpoint):
    check(CrossEncoder.load(checkpoint(variant)))


@given(texts=TEXTS, batch_tokens=st.integers(1, 3000), order=st.randoms())
def test_a_score_does_not_depend_on_the_company(model, texts, batch_tokens, order):
    alone = [model.score([("a panda?", text)])[0] for text in texts]
    shuffled = order.sample(range(len(texts)), len(texts))
    other = CrossEncoder(
        model.spec, model.tokenizer, model.backend, "numpy", Limits(batch_tokens=batch_tokens)
    )

    together = other.score([("a panda?", texts[at]) for at in shuffled])

    assert together.tolist() == [alone[at] for at in shuffled]  # to the last bit


@given(texts=TEXTS, top_k=st.integers(1, 15))
def test_top_k_is_a_prefix_of_the_whole_order(model, texts, top_k):
    assert model.rerank("panda", texts, top_k) == model.rerank("panda", texts)[:top_k]


def test_a_long_text_gets_the_score_of_its_best_window(model):
    text = "lorem " * 80 + "the giant panda is a bear species " + "because " * 80
    limits = Limits(window_tokens=40, window_overlap=10)
    windowed = CrossEncoder(model.spec, model.tokenizer, model.backend, "numpy", limits)

    (line,) = windowed.rerank("panda?", [text])

    assert line.windows > 3
    assert line.window is not None
    assert not line.truncated
    piece = text[line.window.start : line.window.end]
    assert line.score == pytest.approx(windowed.rerank("panda?", [piece])[0].score, abs=1e-6)
    starts = range(0, len(text) - len(piece), 7)
    assert windowed.rerank("panda?", [piece])[0].windows == 1
    assert len(starts) > 10


def test_a_text_that_fits_is_read_at_once(model):
    (line,) = model.rerank("panda?", ["a bear"])

    assert (line.window, line.windows, line.truncated) == (None, 1, False)


def test_truncation_is_by_choice_and_reported(model):
    limits = Limits(window_tokens=40, long_texts="truncate")
    first = CrossEncoder(model.spec, model.tokenizer, model.backend, "numpy", limits)

    lines = first.rerank("panda?", ["lorem " * 80, "a bear"])

    by_index = {line.index: line for line in lines}
    assert by_index[0].truncated
    assert by_index[0].windows == 1
    assert by_index[0].window is not None
    assert not by_index[1].truncated


def test_the_query_is_never_cut(model):
    with pytest.raises(InvalidInput, match=r"the query has 80 tokens, the model takes 64"):
        model.rerank("panda " * 80, ["a bear"])


def test_a_long_query_still_leaves_half_a_window(checkpoint):
    model = CrossEncoder.load(checkpoint("bert"), limits=Limits(window_tokens=32))

    (line,) = model.rerank("panda " * 30, ["bear " * 40])

    assert line.windows <= 4


def test_identical_pairs_go_through_the_model_once(model):
    class Counting:
        rows = 0

        def forward(self, batch):
            self.rows += len(batch.lengths)
            return model.backend.forward(batch)

        def close(self):
            """Nothing to release."""

    counting = Counting()
    counted = CrossEncoder(model.spec, model.tokenizer, counting, "numpy")

    lines = counted.rerank("panda", ["a bear", "why", "a bear", "a bear"])

    assert counting.rows == 2
    assert [line.index for line in lines if line.index != 1] == [0, 2, 3]
    assert len({line.score for line in lines}) == 2


def test_scores_are_python_floats_and_the_probability_is_the_sigmoid(model):
    (line,) = model.rerank("panda", ["a bear"])

    assert type(line.score) is type(line.probability) is float
    assert line.probability == pytest.approx(1 / (1 + np.exp(-line.score)))


def test_score_takes_pairs_of_any_queries(model):
    pairs = [("panda", "a bear"), ("why", "because"), ("panda", "because")]

    logits = model.score(pairs)

    assert logits.dtype == np.float32
    assert logits.tolist() == [model.rerank(query, [text])[0].score for query, text in pairs]
    assert model.score([]).tolist() == []


def test_iterators_are_read_whole(model):
    texts = ["a bear", "because"]

    assert model.rerank("panda", iter(texts)) == model.rerank("panda", texts)
    pairs = zip(["panda", "why"], texts, strict=True)
    assert len(model.score(pairs)) == 2


@pytest.mark.parametrize("texts", [{"a", "b"}, {"a": "b"}, "ab", None, 5])
def test_what_is_no_sequence_of_texts_is_refused(texts, model):
    with pytest.raises(InvalidInput, match="expected strings in an order"):
        model.rerank("panda", texts)


def test_a_broken_query_is_called_a_query(model):
    with pytest.raises(InvalidInput, match="query 0 holds half of a surrogate pair"):
        model.rerank("panda \ud800", ["a bear"])


@pytest.mark.parametrize(
    "pairs",
    [["ab"], [("a", "b", "c")], [("a", None)], [{"query": "q", "text": "t"}], [{"a", "b"}], [None]],
)
def test_what_is_no_pair_is_refused(pairs, model):
    with pytest.raises(InvalidInput):
        model.score(pairs)


def test_not_a_number_is_an_error_and_never_an_answer(model):
    class Broken:
        def forward(self, batch):
            return np.full(len(batch.lengths), np.nan, dtype=np.float32)

        def close(self):
            """Nothing to release."""

    broken = CrossEncoder(model.spec, model.tokenizer, Broken(), "numpy")

    with pytest.raises(EngineError, match="nan"):
        broken.rerank("panda", ["a bear"])
    with pytest.raises(EngineError, match="inf for row 1"):
        check_finite(np.array([0, np.inf], dtype=np.float32))


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-700.0, -1.0, 0.0, 1.0, 700.0]))

    assert values[2] == 0.5
    assert values[1] + values[3] == pytest.approx(1)
    assert 0 < values[0] < 1e-300
    assert values[4] == 1


def test_many_threads_share_one_model(model):
    texts = [f"panda {number} bear" for number in range(40)]
    expected = model.rerank("a panda?", texts)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.rerank("a panda?", texts), range(24)))

    assert all(answer == expected for answer in answers)


def test_inputs_are_not_changed(model):
    texts = ["b", "a", ""]

    model.rerank("a", texts)

    assert texts == ["b", "a", ""]


def test_a_budget_that_suffices_changes_nothing(model):
    texts = [f"panda {at}" for at in range(20)] + ["panda 3"]

    assert model.rerank("a panda?", texts, budget_ms=600_000) == model.rerank("a panda?", texts)


def test_what_a_budget_does_not_reach_stays_below_in_its_order(model):
    texts = [f"panda {at} " * 40 for at in range(2000)]
    model.rerank("a panda?", texts[:40])  # so that the cost of a text is known

    ranked = model.rerank("a panda?", texts, budget_ms=20)

    reached = [line for line in ranked if line.scored]
    missed = [line for line in ranked if not line.scored]
    assert missed, "2000 texts cannot even be tokenised in 20 ms"
    assert ranked == reached + missed
    assert {line.index for line in reached} == set(range(len(reached)))
    assert [line.index for line in missed] == list(range(len(reached), len(texts)))
    assert all(line.score == -np.inf and line.probability == 0.0 for line in missed)
    whole = {line.index: line for line in model.rerank("a panda?", texts[: len(reached)])}
    assert all(whole[line.index] == line for line in reached)


@pytest.mark.parametrize("budget", [0, -5, float("nan"), "soon"])
def test_a_budget_is_a_span_of_time(budget, model):
    with pytest.raises(InvalidInput, match="budget_ms"):
        model.rerank("a panda?", ["panda"], budget_ms=budget)
