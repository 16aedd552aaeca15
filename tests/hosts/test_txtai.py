from __future__ import annotations

import inspect

import numpy as np
import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.engine import load_encoder
from secondpass.errors import InvalidInput
from secondpass.integrations.txtai import CrossEncoder


def guest_of(model) -> Guest:
    similarity = CrossEncoder(model)
    return Guest(
        rerank=similarity,
        score_of=lambda ranked: ranked.probability,
    )


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_guest(check, model):
    check(guest_of(model), model)


def test_a_list_of_queries_gives_a_list(model):
    similarity = CrossEncoder(model)

    assert similarity([QUERY, "offices"], TEXTS) == [
        similarity(QUERY, TEXTS),
        similarity("offices", TEXTS),
    ]
    assert similarity([], TEXTS) == []
    assert similarity([QUERY], []) == [[]]


def test_what_multilabel_makes_of_a_score(model):
    similarity, ranked = CrossEncoder(model), model.rerank(QUERY, TEXTS)
    logits = np.array([line.score for line in ranked])
    powers = np.exp(logits)

    assert similarity(QUERY, TEXTS, None) == [(line.index, line.score) for line in ranked]
    softmax = [score for _, score in similarity(QUERY, TEXTS, multilabel=False)]
    assert softmax == pytest.approx(powers / powers.sum())
    assert similarity(QUERY, [], multilabel=False) == []


def test_labels_are_an_error(model):
    with pytest.raises(InvalidInput, match="one label"):
        CrossEncoder(model)(QUERY, TEXTS, labels=["entailment"])


def test_the_call_is_that_of_the_host():
    host = pytest.importorskip("txtai.pipeline").CrossEncoder

    theirs = inspect.signature(host.__call__).parameters.values()
    ours = inspect.signature(CrossEncoder.__call__).parameters.values()

    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.filterwarnings("default")
def test_in_the_hosts_reranker(model):
    pipeline = pytest.importorskip("txtai.pipeline")
    from txtai.embeddings import Embeddings

    encoder = load_encoder("static")

    def encode(texts):  # a function: what else can be called, the host calls without texts
        return encoder.encode_passages(texts)

    embeddings = Embeddings(method="external", transform=encode, content=True, backend="numpy")
    embeddings.index(TEXTS)

    rows = pipeline.Reranker(embeddings, CrossEncoder(model))(QUERY, limit=3)

    found = [row["text"] for row in embeddings.search(QUERY, 30)]
    ranked = model.rerank(QUERY, found, 3)
    assert [(row["text"], row["score"]) for row in rows] == [
        (found[line.index], line.probability) for line in ranked
    ]
