"""The guests in LlamaIndex, as its own classes call them."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

pytest.importorskip("llama_index.core", reason="could not import llama_index.core")

from llama_index.core import VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.llama_index import (
    SecondpassRerank,
    SecondpassRetriever,
)
from secondpass.library import Index
from secondpass.pipeline import Pipeline
from secondpass.types import Passage


def nodes_of(texts):
    return [
        NodeWithScore(
            node=TextNode(
                id_=f"n{at}",
                text=text,
                metadata={"at": at},
                excluded_embed_metadata_keys=["at"],
            ),
            score=0.5 - at / 100,
        )
        for at, text in enumerate(texts)
    ]


def answer_of(nodes):
    return [(one.node.metadata["at"], one.score) for one in nodes]


@pytest.mark.parametrize("check", GUEST_CHECKS)
@pytest.mark.parametrize("keep", [True, False])
def test_the_postprocessor_keeps(check, keep, model):
    guest = SecondpassRerank(model=model, top_n=None, keep_retrieval_score=keep)

    def rerank(query, texts):
        given = nodes_of(texts)
        before = deepcopy(given)
        found = guest.postprocess_nodes(given, query_str=query)
        assert given == before
        return answer_of(found)

    async def arerank(query, texts):
        return answer_of(await guest.apostprocess_nodes(nodes_of(texts), query_str=query))

    def above(query, texts, least):
        strict = SecondpassRerank(model=model, top_n=None, score_threshold=least)
        return answer_of(strict.postprocess_nodes(nodes_of(texts), QueryBundle(query)))

    check(Guest(rerank, lambda line: line.probability, arerank, above), model)


def test_the_retrieval_score_is_kept_and_no_model_reads_it(model):
    given = nodes_of(TEXTS)

    found = SecondpassRerank(model=model, top_n=3).postprocess_nodes(given, query_str=QUERY)

    assert len(found) == 3
    for one in found:
        (origin,) = (node for node in given if node.node_id == one.node_id)
        assert one.node.metadata["retrieval_score"] == origin.score
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            assert one.node.get_content(mode) == origin.node.get_content(mode)
        assert "retrieval_score" in one.node.get_content(MetadataMode.ALL)
    without = SecondpassRerank(model=model, keep_retrieval_score=False)
    assert without.postprocess_nodes(given, query_str=QUERY)[0].node.metadata.keys() == {"at"}


def test_the_model_reads_what_the_metadata_mode_shows(model):
    node = TextNode(text=TEXTS[1], metadata={"title": "Panda", "secret": "x"})
    node.excluded_embed_metadata_keys = ["secret"]
    for mode in (MetadataMode.NONE, MetadataMode.EMBED, MetadataMode.ALL):
        guest = SecondpassRerank(model=model, metadata_mode=mode)

        (found,) = guest.postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)

        (line,) = model.rerank(QUERY, [node.get_content(mode)])
        assert found.score == line.probability
        assert found.node.metadata["retrieval_score"] is None


class Events(BaseEventHandler):
    seen: list = []  # noqa: RUF012  # a pydantic field, copied for each handler

    @classmethod
    def class_name(cls):
        return "Events"

    def handle(self, event, **more):
        self.seen.append(event)


class Calls(BaseCallbackHandler):
    def __init__(self):
        super().__init__([], [])
        self.started, self.ended = [], []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **more):
        self.started.append((event_type, payload))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **more):
        self.ended.append((event_type, payload))

    def start_trace(self, trace_id=None):
        pass

    def end_trace(self, trace_id=None, trace_map=None):
        pass


def test_handlers_see_what_happens(tiny):
    calls, events = Calls(), Events()
    root = get_dispatcher()
    root.add_event_handler(events)
    try:
        guest = SecondpassRerank(model=tiny, top_n=2, callback_manager=CallbackManager([calls]))
        found = guest.postprocess_nodes(nodes_of(TEXTS), query_str=QUERY)
    finally:
        root.event_handlers.remove(events)

    ((kind, payload),) = calls.started
    assert (kind, payload[EventPayload.TOP_K]) == (CBEventType.RERANKING, 2)
    assert payload[EventPayload.MODEL_NAME] == str(tiny)
    assert [kind for kind, _ in calls.ended] == [CBEventType.RERANKING]
    assert calls.ended[0][1][EventPayload.NODES] == found
    start, end = (one for one in events.seen if "ReRank" in one.class_name())
    assert (start.query, start.top_n, len(start.nodes)) == (QUERY, 2, len(TEXTS))
    assert end.nodes == found


def test_it_is_written_down_and_read_back(tiny, model):
    guest = SecondpassRerank(model=tiny, top_n=4, score_threshold=0.1, metadata_mode="all")

    saved = guest.to_dict()
    read = SecondpassRerank.from_dict(saved)

    assert saved["class_name"] == SecondpassRerank.class_name() == "SecondpassRerank"
    assert read.to_dict() == saved
    assert SecondpassRerank.from_json(guest.to_json()).to_dict() == saved
    nodes = nodes_of(TEXTS)
    assert read.postprocess_nodes(nodes, query_str=QUERY) == guest.postprocess_nodes(
        nodes, query_str=QUERY
    )
    with pytest.raises(ValueError, match="a loaded CrossEncoder cannot be written down"):
        SecondpassRerank(model=model).to_dict()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda"}, "the device is 'cuda'"),
        ({"top_n": 0}, "top_n"),
        ({"score_threshold": 2}, "score_threshold"),
        ({"model": 7}, "the model is 7"),
    ],
)
def test_what_cannot_be_is_an_error(options, said):
    with pytest.raises(ValueError, match=said):
        SecondpassRerank(**options)


def test_no_query_is_an_error(model):
    with pytest.raises(InvalidInput, match="no query to rerank for"):
        SecondpassRerank(model=model).postprocess_nodes(nodes_of(TEXTS))


def test_it_works_in_an_index_of_the_host(model):
    index = VectorStoreIndex(
        [one.node for one in nodes_of(TEXTS)], embed_model=MockEmbedding(embed_dim=8)
    )
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=5,
        node_postprocessors=[
            SecondpassRerank(model=model, top_n=3),
            SimilarityPostprocessor(similarity_cutoff=0.0),
        ],
    )

    found = engine.query(QUERY).source_nodes

    assert [one.score for one in found] == [
        one.probability for one in model.rerank(QUERY, TEXTS, 3)
    ]


@pytest.fixture
def pipeline(tmp_path, model):
    passages = [
        Passage(
            f"p{at}", text, f"d{at}", at, at + len(text), "Notes", "notes.md", 1, (), {"at": at}
        )
        for at, text in enumerate(TEXTS)
    ]
    with Index.open(tmp_path / "my.index") as index:
        index.add(passages)
        yield Pipeline(index.retriever(first_stage="dense"), model)


def test_the_retriever_answers_as_the_pipeline_does(pipeline):
    hits = pipeline.search(QUERY, 3)
    retriever = SecondpassRetriever(pipeline, similarity_top_k=3)

    found = retriever.retrieve(QUERY)

    assert found == asyncio.run(retriever.aretrieve(QUERY))
    assert [(one.node_id, one.score) for one in found] == [
        (hit.passage.id, hit.probability) for hit in hits
    ]
    node, hit = found[0].node, hits[0]
    assert node.metadata["retrieval_score"] == hit.first_stage.score
    assert node.metadata["source"] == "notes.md"
    assert node.relationships[NodeRelationship.SOURCE].node_id == hit.document
    assert (node.start_char_idx, node.end_char_idx) == (hit.passage.start, hit.passage.end)
    assert "order_score" not in node.get_content(MetadataMode.LLM)
    assert SecondpassRetriever(pipeline, score_threshold=1.0).retrieve(QUERY) == []


def test_the_retriever_does_not_block_the_loop(pipeline, model):
    pulse = model.backend.pulse
    retriever = SecondpassRetriever(pipeline)

    async def ask():
        async with pulse.started():
            return await asyncio.gather(*(retriever.aretrieve(QUERY) for _ in range(4)))

    answers = asyncio.run(ask())

    assert pulse.passes >= 4
    assert pulse.missed <= 1
    assert all(one == answers[0] for one in answers)


def test_the_engines_and_evaluators_of_the_host_take_it(pipeline):
    retriever = SecondpassRetriever(pipeline, similarity_top_k=2)
    best = retriever.retrieve(QUERY)[0]

    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    evaluator = RetrieverEvaluator.from_metric_names(["hit_rate", "mrr"], retriever=retriever)

    assert engine.query(QUERY).source_nodes[0].node_id == best.node_id
    assert evaluator.evaluate(QUERY, [best.node_id]).metric_vals_dict == {"hit_rate": 1, "mrr": 1}


def test_the_bundled_model_by_default():
    (found,) = SecondpassRerank(top_n=1).postprocess_nodes(nodes_of(TEXTS), query_str=QUERY)
    (best,) = CrossEncoder.load().rerank(QUERY, TEXTS, top_k=1)

    assert (found.node_id, found.score) == (f"n{best.index}", best.probability)
