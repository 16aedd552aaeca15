from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from hosts.tutorials import ran
from secondpass import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.milvus import CrossEncoderRerankFunction, RerankResult


def guest_of(model) -> Guest:
    function = CrossEncoderRerankFunction(model)

    def rerank(query: str, texts: list[str]) -> list[tuple[int, float]]:
        results = function(query, texts, top_k=len(texts))
        assert [result.text for result in results] == [texts[result.index] for result in results]
        return [(result.index, result.score) for result in results]

    return Guest(rerank=rerank, score_of=lambda ranked: ranked.probability)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_guest(check, model):
    check(guest_of(model), model)


def test_results_are_json(model):
    results = CrossEncoderRerankFunction(model)(query=QUERY, documents=TEXTS, top_k=2)

    read = json.loads(json.dumps([result.to_dict() for result in results]))

    assert read == [{"text": r.text, "score": r.score, "index": r.index} for r in results]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (9, 5), (0, 5), (None, 5)])
def test_top_k_cuts(model, top_k, count):
    assert len(CrossEncoderRerankFunction(model)(QUERY, TEXTS, top_k)) == count


def test_five_come_back_where_nothing_is_said(model):
    assert len(CrossEncoderRerankFunction(model)(QUERY, TEXTS * 2)) == 5


def test_the_checkpoint_says_what_a_score_is_unless_the_caller_does(own_checkpoint):
    logits = own_checkpoint(
        "bert", sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}
    )

    class Sigmoid:
        """As torch.nn names it."""

    scores = {
        name: [result.score for result in CrossEncoderRerankFunction(logits, activation_fct=given)(
            QUERY, TEXTS
        )]
        for name, given in (("own", None), ("class", Sigmoid), ("object", Sigmoid()))
    }  # fmt: skip

    raw = CrossEncoder.load(logits).score([(QUERY, text) for text in TEXTS])
    np.testing.assert_allclose(scores["own"], sorted(raw, reverse=True), rtol=1e-6)
    np.testing.assert_allclose(scores["class"], 1 / (1 + np.exp(-np.sort(raw)[::-1])), rtol=1e-6)
    assert scores["class"] == scores["object"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"device": "cuda:0"}, "the device is 'cuda:0'"),
        ({"activation_fct": max}, "activation_fct is 'builtin_function_or_method'"),
        ({"max_tokens": 9}, "max_tokens=9 is too small"),
    ],
)
def test_what_cannot_be_done_is_said(model, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        CrossEncoderRerankFunction(model, **arguments)


def test_the_calls_are_those_of_the_host():
    reranker = pytest.importorskip("pymilvus.model.reranker")
    host = reranker.CrossEncoderRerankFunction
    theirs = [*inspect.signature(host.__init__).parameters.values()]
    ours = [*inspect.signature(CrossEncoderRerankFunction.__init__).parameters.values()]

    assert [p.name for p in ours[: len(theirs) - 1]] == [
        p.name for p in theirs if p.kind is not p.VAR_KEYWORD
    ]
    assert [(p.name, p.default) for p in inspect.signature(host.__call__).parameters.values()] == [
        (p.name, p.default)
        for p in inspect.signature(CrossEncoderRerankFunction.__call__).parameters.values()
    ]


def test_a_result_has_what_the_hosts_has():
    from_host = pytest.importorskip("pymilvus.model.base").RerankResult("text", 0.5, 1)
    result = RerankResult("text", 0.5, 1)

    assert result.to_dict() == from_host.to_dict()
    assert repr(result) == repr(from_host)
    assert (result.text, result.score, result.index) == ("text", 0.5, 1)


def test_after_a_search_in_milvus_lite(model, tmp_path):
    pymilvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    client = pymilvus.MilvusClient(str(tmp_path / "texts.db"))
    client.create_collection("texts", dimension=2)
    client.insert(
        "texts",
        [{"id": at, "vector": [1.0, at / 10], "text": text} for at, text in enumerate(TEXTS)],
    )

    (found,) = client.search("texts", data=[[1.0, 0.4]], limit=5, output_fields=["text"])
    documents = [hit["entity"]["text"] for hit in found]
    results = CrossEncoderRerankFunction(model)(QUERY, documents, top_k=3)
    client.close()

    assert sorted(documents) == sorted(TEXTS)
    assert [found[result.index]["entity"]["text"] for result in results] == [
        documents[ranked.index] for ranked in model.rerank(QUERY, documents, 3)
    ]


def test_the_example_answers_from_the_faq(shared_data):
    pytest.importorskip("milvus_lite")
    pages = sorted((shared_data / "tutorials").glob("milvus_faq_*.md"))

    before, after = ran("milvus_faq.py", "How is data stored in Milvus?", *pages)

    assert len(before) == len(after) == 3
    assert any("Where does Milvus store data?" in line for line in after)
