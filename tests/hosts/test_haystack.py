"""The guests in Haystack, as components of its pipelines."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from copy import deepcopy

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when it is imported; it sends otherwise

pytest.importorskip("haystack", reason="could not import haystack")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.core.errors import DeserializationError
from haystack.document_stores.in_memory import InMemoryDocumentStore

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput, StoreError
from secondpass.integrations.haystack import SecondpassRanker, SecondpassRetriever
from secondpass.library import Index
from secondpass.pipeline import Pipeline as Search
from secondpass.types import Passage

OURS = ["secondpass.integrations.*"]


def documents_of(texts):
    return [
        Document(id=f"d{at}", content=text, meta={"at": at, "nested": [at]}, score=at / 10)
        for at, text in enumerate(texts)
    ]


def answer_of(found):
    return [(one.meta["at"], one.score) for one in found["ranker"]["documents"]]


def pipeline_of(**options):
    pipeline = Pipeline()
    pipeline.add_component("ranker", SecondpassRanker(**options))
    return pipeline


@pytest.mark.parametrize("check", GUEST_CHECKS)
@pytest.mark.parametrize("scale", [True, False])
def test_the_ranker_keeps(check, scale, model):
    pipeline = pipeline_of(model=model, top_k=None, scale_score=scale)

    def asked(query, texts, **more):
        return {"ranker": {"query": query, "documents": documents_of(texts), **more}}

    def rerank(query, texts):
        given = asked(query, texts)
        before = deepcopy(given)
        found = pipeline.run(given)
        assert given == before
        return answer_of(found)

    async def arerank(query, texts):
        return answer_of(await pipeline.run_async(asked(query, texts)))

    def above(query, texts, least):
        return answer_of(pipeline.run(asked(query, texts, score_threshold=least)))

    guest = Guest(rerank, lambda one: one.probability if scale else one.score, arerank, above)
    check(guest, model)


def test_after_a_retriever_of_the_host(model):
    store = InMemoryDocumentStore()
    store.write_documents(documents_of(TEXTS))
    pipeline = pipeline_of(model=model, top_k=2)
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=5))
    pipeline.connect("retriever.documents", "ranker.documents")

    found = pipeline.run({"retriever": {"query": QUERY}, "ranker": {"query": QUERY}})["ranker"]

    given = InMemoryBM25Retriever(store, top_k=5).run(query=QUERY)["documents"]
    best = model.rerank(QUERY, [one.content for one in given], 2)
    assert [one.id for one in found["documents"]] == [given[line.index].id for line in best]


def test_of_one_id_the_highest_score_takes_part(model):
    one, other = (
        Document(id="same", content=text, score=s)
        for text, s in zip(TEXTS[:2], (1, 2), strict=True)
    )

    (found,) = SecondpassRanker(model=model).run(query=QUERY, documents=[one, other, one])[
        "documents"
    ]

    assert found.content == TEXTS[1]


def test_the_model_reads_the_fields_and_prefixes_that_it_is_told(model):
    document = Document(content=None, meta={"title": "Giant panda", "year": 2024, "no": ""})
    guest = SecondpassRanker(
        model=model,
        query_prefix="q: ",
        query_suffix="?",
        document_prefix="<",
        document_suffix=">",
        meta_fields_to_embed=["title", "year", "no", "absent"],
        embedding_separator=" | ",
    )

    (found,) = guest.run(query=QUERY, documents=[document])["documents"]

    (line,) = model.rerank(f"q: {QUERY}?", ["<Giant panda | 2024 | >"])
    assert (found.id, found.score) == (document.id, line.probability)


def test_a_pipeline_is_written_and_read_back(tiny, tmp_path):
    pipeline = pipeline_of(model=tiny, top_k=3, score_threshold=0.01, meta_fields_to_embed=["at"])
    asked = {"ranker": {"query": QUERY, "documents": documents_of(TEXTS)}}

    text = pipeline.dumps()
    read = Pipeline.loads(text, allowed_modules=OURS)

    assert read.run(asked) == pipeline.run(asked)
    assert read.dumps() == text
    with pytest.raises(DeserializationError, match=r"secondpass\.integrations\.haystack"):
        Pipeline.loads(text)


def test_a_new_process_reads_it(tiny, tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text(pipeline_of(model=tiny, top_k=1).dumps(), encoding="utf-8")
    program = (
        "import sys; from haystack import Document, Pipeline\n"
        f"pipeline = Pipeline.loads(open(sys.argv[1]).read(), allowed_modules={OURS})\n"
        "documents = [Document(content=text) for text in sys.argv[3:]]\n"
        "found = pipeline.run({'ranker': {'query': sys.argv[2], 'documents': documents}})\n"
        "print(found['ranker']['documents'][0].score)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(file), QUERY, *TEXTS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    with CrossEncoder.load(tiny) as engine:
        assert float(done.stdout) == engine.rerank(QUERY, TEXTS, 1)[0].probability


def test_it_loads_late_and_once(tiny, model):
    guest = SecondpassRanker(model=tiny)
    assert guest._engine is None
    guest.warm_up()
    loaded = guest._engine
    guest.warm_up()
    guest.run(query=QUERY, documents=documents_of(TEXTS))
    assert guest._engine is loaded is not None
    guest.close()
    assert guest._engine is None
    guest.run(query=QUERY, documents=documents_of(TEXTS))
    guest.close()

    shared = SecondpassRanker(model=model)
    shared.warm_up()
    shared.close()
    assert model.rerank(QUERY, TEXTS)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda model: SecondpassRanker(device="cuda:0"), "the device is 'cuda:0'"),
        (lambda model: SecondpassRanker(top_k=0), "top_k=0"),
        (lambda model: SecondpassRanker(model=model).to_dict(), "cannot be written down"),
        (lambda model: SecondpassRanker(model=7).warm_up(), "the model is 7"),
        (
            lambda model: SecondpassRanker(model=model).run(query=QUERY, documents=[], top_k=-1),
            "top_k=-1",
        ),
    ],
)
def test_what_cannot_be_is_an_error(make, said, model):
    with pytest.raises(InvalidInput, match=said):
        make(model)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my.index"
    with Index.open(path) as index:
        index.add(
            Passage(f"p{at}", text, f"d{at}", at, at + len(text), "Notes", "notes.md", at)
            for at, text in enumerate(TEXTS)
        )
    return path


def test_the_retriever_answers_as_the_pipeline_does(folder, tiny):
    pipeline = Pipeline()
    pipeline.add_component(
        "search", SecondpassRetriever(index=folder, model=tiny, top_k=3, first_stage="dense")
    )
    asked = {"search": {"query": QUERY}}
    read = Pipeline.loads(pipeline.dumps(), allowed_modules=OURS)

    found = pipeline.run(asked)["search"]["documents"]

    assert asyncio.run(pipeline.run_async(asked))["search"]["documents"] == found
    assert read.run(asked)["search"]["documents"] == found
    with Index.open(folder) as index, CrossEncoder.load(tiny) as engine:
        hits = Search(index.retriever(first_stage="dense"), engine).search(QUERY, 3)
    assert [(one.id, one.score) for one in found] == [
        (hit.passage.id, hit.probability) for hit in hits
    ]
    assert found[0].meta["source"] == "notes.md"
    assert found[0].meta["retrieval_score"] == hits[0].first_stage.score
    for one in (pipeline, read):
        one.get_component("search").close()


def test_the_retriever_alone_and_its_errors(folder, tmp_path):
    plain = SecondpassRetriever(index=folder, model=None)

    found = plain.run(query="panda", top_k=1)["documents"]

    assert [one.content for one in found] == [TEXTS[1]]
    assert found[0].score == found[0].meta["retrieval_score"]
    plain.close()
    with pytest.raises(StoreError):
        SecondpassRetriever(index=tmp_path / "none", model=None).warm_up()
    with Index.open(folder) as index:
        guest = SecondpassRetriever(index=index, model=None)
        guest.warm_up()
        guest.close()
        assert index.count() == len(TEXTS)
        with pytest.raises(InvalidInput, match="a loaded Index cannot be written down"):
            guest.to_dict()


def test_the_retriever_does_not_block_the_loop(folder, model):
    pulse = model.backend.pulse
    guest = SecondpassRetriever(index=folder, model=model, first_stage="dense")

    async def ask():
        async with pulse.started():
            return await asyncio.gather(*(guest.run_async(query=QUERY) for _ in range(4)))

    answers = asyncio.run(ask())
    guest.close()

    assert pulse.passes >= 4
    assert pulse.missed <= 1
    assert all(one == answers[0] for one in answers)


def test_the_bundled_model_by_default():
    (found,) = SecondpassRanker(top_k=1).run(query=QUERY, documents=documents_of(TEXTS))[
        "documents"
    ]
    (best,) = CrossEncoder.load().rerank(QUERY, TEXTS, top_k=1)

    assert (found.id, found.score) == (f"d{best.index}", best.probability)
