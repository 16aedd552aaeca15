"""Texts handed over as ids score as their text does, and foreign ids are refused."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.engine import CrossEncoder, Limits
from secondpass.errors import InvalidInput

WORDS = "panda bear score 大熊猫 中国 answer why lorem 42 because species".split()
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=90).map(" ".join), max_size=8)
QUERY = "what is a panda?"


@pytest.fixture(scope="module")
def model(checkpoint) -> CrossEncoder:
    return CrossEncoder.load(checkpoint("bert"), limits=Limits(window_tokens=48, window_overlap=8))


@given(texts=TEXTS)
def test_ids_are_ranked_as_their_texts_are_windows_and_all(model, texts):
    assert model.rerank(QUERY, model.tokenize(texts)) == model.rerank(QUERY, texts)


def test_texts_and_ids_may_come_mixed_and_identical_ones_are_scored_once(model):
    text = "the panda is a bear"
    (first,), (second,) = model.tokenize([text]), model.tokenize([text])

    scores = model.score([(QUERY, text), (QUERY, first), (QUERY, second)])

    assert first == second
    assert len(set(scores.tolist())) == 1


def test_what_is_kept_can_be_kept(model):
    (text,) = model.tokenize(["大熊猫 is a bear " * 30])
    again = pickle.loads(pickle.dumps(text))

    assert again == text
    assert model.rerank(QUERY, [again]) == model.rerank(QUERY, [text])


def test_ids_of_another_tokenizer_are_refused(model, checkpoint):
    other = CrossEncoder.load(checkpoint("xlm-roberta"))
    foreign = other.tokenize(["a panda"])

    with pytest.raises(InvalidInput, match=r"text 1 was tokenised by .* not by this model"):
        model.rerank(QUERY, ["fine", *foreign])


@pytest.mark.parametrize(
    "ids",
    [np.array([[1]], dtype=np.int32), np.array([1.5]), np.array([-1], dtype=np.int32), [1, 2]],
)
def test_ids_that_the_model_does_not_have_are_refused(ids, model):
    (text,) = model.tokenize(["a"])

    with pytest.raises(InvalidInput, match="text 0 has ids that are no int32"):
        model.rerank(QUERY, [replace(text, ids=ids)])


def test_offsets_must_fit_the_ids(model):
    (text,) = model.tokenize(["a panda"])

    with pytest.raises(InvalidInput, match="has offsets of shape"):
        model.rerank(QUERY, [replace(text, offsets=text.spans[:-1])])
