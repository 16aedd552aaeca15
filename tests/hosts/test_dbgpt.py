from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from hosts.tutorials import ran
from secondpass.engine import load_encoder
from secondpass.errors import InvalidInput

pytest.importorskip("dbgpt.rag.retriever.rerank")

from dbgpt.core import Chunk
from dbgpt.rag.retriever.embedding import EmbeddingRetriever

from secondpass.integrations.dbgpt import SecondpassEmbeddings, SecondpassRanker


class Shelf:
    """An index store as far as an EmbeddingRetriever asks: every chunk, by its vector score."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = chunks

    def similar_search_with_scores(self, text, topk, score_threshold, filters=None):
        return [chunk for chunk in self.chunks if chunk.score >= score_threshold][:topk]

    async def asimilar_search_with_scores(self, text, topk, score_threshold, filters=None):
        return self.similar_search_with_scores(text, topk, score_threshold, filters)


def chunks_of(texts: list[str]) -> list[Chunk]:
    return [
        Chunk(chunk_id=str(at), content=text, score=0.5, metadata={"source": f"page {at}"})
        for at, text in enumerate(texts)
    ]


def unchanged(chunks: list[Chunk], before: list[Chunk]) -> bool:
    # equality of chunks is that of their ids
    return [chunk.model_dump() for chunk in chunks] == [chunk.model_dump() for chunk in before]


def answer_of(ranked: list[Chunk], given: list[Chunk]) -> list[tuple[int, float]]:
    for chunk in ranked:
        source = given[int(chunk.chunk_id)]
        assert chunk.content == source.content
        assert chunk.metadata == source.metadata
        assert chunk is not source
    return [(int(chunk.chunk_id), chunk.score) for chunk in ranked]


def guest_of(model) -> Guest:
    def retriever(chunks: list[Chunk], threshold: float | None = None) -> EmbeddingRetriever:
        ranker = SecondpassRanker(len(chunks) or 1, model, score_threshold=threshold)
        return EmbeddingRetriever(Shelf(chunks), top_k=len(chunks), rerank=ranker)

    def rerank(query, texts, threshold=None):
        chunks = chunks_of(texts)
        before = deepcopy(chunks)
        answer = retriever(chunks, threshold).retrieve_with_scores(query, 0.3)
        assert unchanged(chunks, before)
        return answer_of(answer, chunks)

    async def arerank(query, texts):
        chunks = chunks_of(texts)
        answer = await retriever(chunks).aretrieve_with_scores(query, 0.3)
        return answer_of(answer, chunks)

    return Guest(
        rerank=rerank,
        score_of=lambda ranked: ranked.probability,
        arerank=arerank,
        above=rerank,
        drops_identical=True,
    )


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_guest(check, model):
    check(guest_of(model), model)


def test_four_come_back_where_nothing_is_said(model):
    assert len(SecondpassRanker(model=model).rank(chunks_of(TEXTS), QUERY)) == 4


def test_of_chunks_with_one_text_the_best_of_the_store_stays(model):
    chunks = chunks_of([TEXTS[0], TEXTS[1], TEXTS[0]])
    chunks[2].score = 0.9

    ranked = SecondpassRanker(model=model).rank(chunks, QUERY)

    assert sorted(chunk.chunk_id for chunk in ranked) == ["1", "2"]


def test_a_chunk_of_the_answer_has_its_own_metadata(model):
    chunks = chunks_of(TEXTS[:1])
    (ranked,) = SecondpassRanker(model=model).rank(chunks, QUERY)

    ranked.metadata["seen"] = True

    assert "seen" not in chunks[0].metadata


def test_a_chunk_without_text_is_scored_as_a_blank_one(model):
    chunks = chunks_of([TEXTS[0], ""])
    wanted = [chunk.score for chunk in SecondpassRanker(model=model).rank(chunks, QUERY)]
    chunks[1].content = None

    assert [chunk.score for chunk in SecondpassRanker(model=model).rank(chunks, QUERY)] == wanted


@pytest.mark.parametrize("query", [None, "", " "])
def test_a_blank_query_is_an_error(model, query):
    with pytest.raises(InvalidInput, match="the query is"):
        SecondpassRanker(model=model).rank(chunks_of(TEXTS), query)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"topk": 0}, "topk=0"),
        ({"topk": "4"}, "topk='4'"),
        ({"device": "cuda"}, "the device is 'cuda'"),
    ],
)
def test_what_cannot_be_done_is_said(model, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        SecondpassRanker(**{"model": model} | arguments)


def test_embeddings_are_those_of_the_encoder():
    encoder = load_encoder("static")
    embeddings = SecondpassEmbeddings()

    assert embeddings.embed_documents(TEXTS) == encoder.encode_passages(TEXTS).tolist()
    assert embeddings.embed_query(QUERY) == encoder.encode_queries([QUERY])[0].tolist()
    assert {type(number) for number in embeddings.embed_query(QUERY)} == {float}
    assert embeddings.embed_documents([]) == []
    assert SecondpassEmbeddings(encoder).embed_query(QUERY) == embeddings.embed_query(QUERY)


def test_embeddings_beside_the_event_loop():
    embeddings = SecondpassEmbeddings()

    async def both():
        return await asyncio.gather(
            embeddings.aembed_documents(TEXTS), embeddings.aembed_query(QUERY)
        )

    assert asyncio.run(both()) == [embeddings.embed_documents(TEXTS), embeddings.embed_query(QUERY)]


@pytest.fixture
def page(shared_data):
    pytest.importorskip("dbgpt_ext")
    pytest.importorskip("chromadb")
    return shared_data / "tutorials" / "dbgpt_awel.md"


def test_the_documented_example_runs_with_the_imports_changed(page):
    before, after = ran("dbgpt_awel.py", "What is AWEL?", page)

    assert len(before) >= len(after) == 3
    assert any("Agentic Workflow Expression Language" in line for line in after)


@pytest.mark.parametrize("encoder", ["static", "all-MiniLM-L6-v2"])
def test_the_documented_query_finds_what_is_above_its_threshold(encoder, page, all_minilm):
    chosen = all_minilm if encoder == "all-MiniLM-L6-v2" else encoder
    before, after = ran("dbgpt_awel.py", "what is awel talk about", page, chosen)

    assert len(before) >= len(after) > 0
    assert any("Agentic Workflow Expression Language" in line for line in after)
