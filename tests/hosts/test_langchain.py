"""The guests in LangChain, as its own classes call them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

pytest.importorskip("langchain_core", reason="could not import langchain_core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from pydantic import ValidationError

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput, StoreError
from secondpass.integrations.langchain import (
    SecondpassCrossEncoder,
    SecondpassEmbeddings,
    SecondpassRerank,
    SecondpassRetriever,
    SecondpassVectorStore,
)
from secondpass.library import Index
from secondpass.pipeline import Pipeline
from secondpass.types import Passage, Range

ROOT = Path(__file__).resolve().parents[2]


def documents_of(texts):
    return [
        Document(id=f"d{at}", page_content=text, metadata={"at": at, "nested": {"kept": [at]}})
        for at, text in enumerate(texts)
    ]


def answer_of(documents):
    return [(one.metadata["at"], one.metadata["relevance_score"]) for one in documents]


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_the_compressor_keeps(check, model):
    compressor = SecondpassRerank(model=model, top_n=None)

    def rerank(query, texts):
        given = documents_of(texts)
        before = deepcopy(given)
        found = compressor.compress_documents(given, query)
        assert given == before
        return answer_of(found)

    async def arerank(query, texts):
        return answer_of(await compressor.acompress_documents(documents_of(texts), query))

    def above(query, texts, least):
        strict = SecondpassRerank(model=model, top_n=None, score_threshold=least)
        return answer_of(strict.compress_documents(documents_of(texts), query))

    check(Guest(rerank, lambda line: line.probability, arerank, above), model)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_the_runnable_keeps(check, model):
    runnable = SecondpassRerank(model=model, top_n=None).as_runnable()

    def rerank(query, texts):
        return answer_of(runnable.invoke({"query": query, "documents": documents_of(texts)}))

    async def arerank(query, texts):
        return answer_of(await runnable.ainvoke({"query": query, "documents": documents_of(texts)}))

    check(Guest(rerank, lambda line: line.probability, arerank), model)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_the_cross_encoder_keeps(check, model):
    reranker = pytest.importorskip("langchain_classic.retrievers.document_compressors")
    guest = SecondpassCrossEncoder(model_name=model)
    compressor = reranker.CrossEncoderReranker(model=guest, top_n=100)

    def rerank(query, texts):
        # The host's compressor drops the scores, so they are asked for beside its order.
        given = documents_of(texts)
        order = [one.metadata["at"] for one in compressor.compress_documents(given, query)]
        scores = guest.score([(query, text) for text in texts])
        return [(at, scores[at]) for at in order]

    check(Guest(rerank, lambda line: line.probability), model)


def test_documents_keep_ids_and_metadata_and_ours_is_the_score(model):
    given = documents_of(TEXTS)
    given[0].metadata["relevance_score"] = "mine"

    found = SecondpassRerank(model=model).compress_documents(given, QUERY)

    assert len(found) == 3
    assert given[0].metadata["relevance_score"] == "mine"
    for one in found:
        (origin,) = (document for document in given if document.id == one.id)
        assert one.page_content == origin.page_content
        assert one.metadata["nested"] == origin.metadata["nested"]
        assert isinstance(one.metadata["relevance_score"], float)
        assert "truncated" not in one.metadata


def test_the_old_arguments_are_taken(tiny):
    guest = SecondpassCrossEncoder(model_name=str(tiny), model_kwargs={"device": "cpu"})

    assert guest.score([(QUERY, TEXTS[0])]) == SecondpassCrossEncoder(model=tiny).score(
        [(QUERY, TEXTS[0])]
    )
    assert guest.score([]) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SecondpassCrossEncoder(model_kwargs={"device": "cuda"}), "the device is 'cuda'"),
        (lambda: SecondpassCrossEncoder(model_kwargs={"dtype": "x"}), "model_kwargs has dtype"),
        (lambda: SecondpassRerank(model=7), "the model is 7"),
        (lambda: SecondpassRerank(top_n=0), "top_n"),
        (lambda: SecondpassRerank(score_threshold=2), "score_threshold"),
        (lambda: SecondpassRerank(limit=3), "limit"),
        (lambda: SecondpassRerank(max_tokens=9000), "max_tokens=9000 exceeds"),
    ],
)
def test_what_cannot_be_is_an_error(make, said):
    with pytest.raises((InvalidInput, ValidationError), match=said):
        make()


def test_a_model_is_written_down_by_its_name(tiny, model):
    assert SecondpassRerank(model=tiny).model_dump()["model"] == str(tiny)
    with pytest.raises(ValueError, match="a loaded CrossEncoder cannot be written down"):
        SecondpassRerank(model=model).model_dump()


@pytest.fixture
def pipeline(tmp_path, model):
    passages = [
        Passage(
            f"p{at}",
            text,
            f"d{at}",
            at,
            at + len(text),
            "Notes",
            "notes.md",
            1,
            ("A", "B"),
            {"at": at},
        )
        for at, text in enumerate(TEXTS)
    ]
    with Index.open(tmp_path / "my.index") as index:
        index.add(passages)
        yield Pipeline(index.retriever(first_stage="dense"), model)


def test_the_retriever_answers_as_the_pipeline_does(pipeline):
    hits = pipeline.search(QUERY, 3)
    retriever = SecondpassRetriever(pipeline=pipeline, k=3)

    found = retriever.invoke(QUERY)

    assert found == asyncio.run(retriever.ainvoke(QUERY))
    assert [one.id for one in found] == [hit.passage.id for hit in hits]
    first, hit = found[0], hits[0]
    assert first.page_content == hit.text
    assert first.metadata == {
        "source": "notes.md",
        "document": hit.document,
        "title": "Notes",
        "page": 1,
        "headings": ["A", "B"],
        "start_index": hit.passage.start,
        "at": hit.passage.metadata["at"],
        "relevance_score": hit.probability,
        "retrieval_score": hit.first_stage.score,
        "order_score": hit.order_score,
    }
    assert SecondpassRetriever(pipeline=pipeline, score_threshold=1.0).invoke(QUERY) == []
    assert len(asyncio.run(retriever.ainvoke(QUERY, k=1))) == 1


def test_without_a_reranker_the_score_is_the_first_stages(pipeline):
    plain = SecondpassRetriever(pipeline=Pipeline(pipeline.retriever, None), k=2)

    for one in plain.invoke(QUERY):
        assert one.metadata["relevance_score"] == one.metadata["retrieval_score"]


METADATA = {
    "n": 1,
    "share": 0.5,
    "flag": True,
    "lang": "en",
    "none": None,
    "many": [1, {"deep": "à"}],
    "far": 2**70,
}


def test_the_store_gives_back_what_it_got(tmp_path):
    given = [Document(id="a", page_content="a panda eats", metadata=METADATA)]
    before = deepcopy(given)

    with SecondpassVectorStore.open(tmp_path / "my.index").index as index:
        store = SecondpassVectorStore(index)
        store.add_documents(given)
        assert store.similarity_search("panda", k=1) == before == given
    reopened = SecondpassVectorStore.open(tmp_path / "my.index", create=False)
    assert reopened.get_by_ids(["a", "b"]) == before
    reopened.delete()
    assert reopened.get_by_ids(["a"]) == []
    reopened.index.close()


def test_the_store_filters_by_scalars():
    metadatas = [{"year": year, "lang": "en"} for year in (2021, 2022, 2023)]
    store = SecondpassVectorStore.from_texts(["one", "two", "three"], None, metadatas)

    found = store.similarity_search("two", k=3, filter={"year": Range(at_least=2022)})
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"year": 2023}})

    assert {one.metadata["year"] for one in found} == {2022, 2023}
    assert [one.page_content for one in retriever.invoke("two")] == ["three"]


def test_relevance_scores_are_cosines_from_0_to_1():
    store = SecondpassVectorStore.from_texts(TEXTS, SecondpassEmbeddings())

    found = store.similarity_search_with_relevance_scores(TEXTS[1], k=2)
    async_found = asyncio.run(store.asimilarity_search_with_relevance_scores(TEXTS[1], k=2))
    strict = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99, "k": 5}
    )

    assert found == async_found
    assert found[0][0].page_content == TEXTS[1]
    assert found[0][1] == pytest.approx(1, abs=1e-5)
    assert all(type(score) is float and 0 <= score <= 1 for _, score in found)
    assert [one.page_content for one in strict.invoke(TEXTS[1])] == [TEXTS[1]]


def test_another_embedding_is_an_error(tmp_path):
    store = SecondpassVectorStore.open(tmp_path / "my.index", DeterministicFakeEmbedding(size=6))
    store.add_texts(["a panda"])
    store.index.close()

    with pytest.raises(StoreError, match="did not make this index's vectors"):
        SecondpassVectorStore.open(tmp_path / "my.index", DeterministicFakeEmbedding(size=7))


def test_what_a_store_cannot_keep_is_an_error(tmp_path, caplog):
    store = SecondpassVectorStore.open(tmp_path / "my.index")
    store.index.add([Passage("d#0", "a part", "d"), Passage("d#1", "another part", "d")])

    with pytest.raises(InvalidInput, match="'d#0' is a part of the document 'd'"):
        store.delete(["d#0"])
    with pytest.raises(InvalidInput, match="metadata fields when cannot be kept"):
        store.add_texts(["a"], [{"when": {1, 2}}])
    with pytest.raises(InvalidInput, match="1 ids for 2 texts"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(InvalidInput, match="fetch_k: no such option"):
        store.similarity_search("a", fetch_k=9)
    with pytest.raises(NotImplementedError):
        store.max_marginal_relevance_search("a")
    store.add_texts([" "], ids=["blank"])
    assert "1 blank texts were left out" in caplog.text
    store.index.close()


def test_the_notebook_runs_over_faiss(shared_data):
    pytest.importorskip("faiss")
    pytest.importorskip("langchain_classic")
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "guests" / "langchain_notebook.py"),
            "What is the plan for the economy?",
            str(shared_data / "tutorials" / "state_of_the_union.txt"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [lines[at] for at in (0, 4, 8)] == [
        "before",
        "after, CrossEncoderReranker",
        "after, SecondpassRerank",
    ]
    assert [line.partition("  ")[2] for line in lines[9:]] == lines[5:8]
    assert "economy" in lines[5]


def test_the_bundled_model_by_default():
    (found,) = SecondpassRerank(top_n=1).compress_documents(documents_of(TEXTS), QUERY)
    (best,) = CrossEncoder.load().rerank(QUERY, TEXTS, top_k=1)

    assert (found.id, found.metadata["relevance_score"]) == (f"d{best.index}", best.probability)
