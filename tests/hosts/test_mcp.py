"""The tools for agents, called by the official client: in this process, and over stdio."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

mcp = pytest.importorskip("mcp")

from mcp import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: E402

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest  # noqa: E402
from secondpass.errors import StoreError  # noqa: E402
from secondpass.integrations.mcp import agent_server  # noqa: E402
from secondpass.library import Index  # noqa: E402
from secondpass.pipeline import Pipeline  # noqa: E402
from secondpass.types import Passage  # noqa: E402

MAIN = "from secondpass.cli import main; main()"


def no_index() -> Pipeline:
    raise StoreError("there is no index at 'my.index'; make one with `secondpass index`")


def called(server, tool: str, **arguments):
    """The result of one call, by a client of its own."""

    async def call():
        async with Client(server) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(call())


def answered(server, tool: str, **arguments) -> dict[str, object]:
    result = called(server, tool, **arguments)
    assert not result.is_error, result.content
    return result.structured_content


def lines(answer) -> list[tuple[int, float]]:
    return [(line["index"], line["probability"]) for line in answer["ranked"]]


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_the_guest_keeps(check, model):
    server = agent_server(model, no_index, version="1")

    def rerank(query, texts):
        return lines(answered(server, "rerank", query=query, texts=texts))

    async def arerank(query, texts):
        async with Client(server) as client:
            result = await client.call_tool("rerank", {"query": query, "texts": texts})
        return lines(result.structured_content)

    def above(query, texts, least):
        return lines(answered(server, "rerank", query=query, texts=texts, min_probability=least))

    check(Guest(rerank, lambda line: line.probability, arerank, above), model)


def test_rerank_says_what_it_did(model):
    long = "the office opens at nine. " * 60
    server = agent_server(model, no_index, version="1")

    answer = answered(server, "rerank", query=QUERY, texts=[*TEXTS, long], top_k=6)
    dropped = answered(server, "rerank", query=QUERY, texts=TEXTS, min_probability=1.0)

    read = {line["index"]: line for line in answer["ranked"]}
    assert read[5]["read_in_windows"] > 1
    assert read[0]["read_in_windows"] == 1
    assert [read[at]["text"] for at in range(6)] == [*TEXTS, long]
    assert not any(line["truncated"] for line in answer["ranked"])
    assert dropped == {"ranked": [], "below": len(TEXTS)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": " ", "texts": TEXTS}, "the query is ' '"),
        ({"query": QUERY, "texts": TEXTS, "top_k": 0}, "top_k=0; expected a whole number from 1"),
        ({"query": QUERY, "texts": TEXTS, "min_probability": 2}, "min_probability=2"),
        ({"query": QUERY}, "texts"),
    ],
)
def test_an_agent_is_told_what_was_wrong(model, arguments, said):
    result = called(agent_server(model, no_index, version="1"), "rerank", **arguments)

    assert result.is_error
    assert said in result.content[0].text


@pytest.fixture
def index(tmp_path) -> Path:
    path = tmp_path / "my.index"
    with Index.open(path, encoder="none") as index:
        index.add(
            Passage(f"{at}", text, document=f"d{at}", page=at, metadata={"lang": "en"})
            for at, text in enumerate(TEXTS)
        )
    return path


def test_search_finds_what_the_pipeline_finds(model, index):
    with Index.open(index, create=False) as opened:
        pipeline = Pipeline(opened.retriever(), model)
        wanted = pipeline.search("panda bear office", top_k=2)

        answer = answered(
            agent_server(model, lambda: pipeline, version="1"),
            "search",
            query="panda bear office",
            top_k=2,
        )

    assert [hit["text"] for hit in answer["hits"]] == [hit.text for hit in wanted]
    assert [hit["probability"] for hit in answer["hits"]] == [hit.probability for hit in wanted]
    assert answer["hits"][0]["metadata"] == {"lang": "en"}
    assert (answer["candidates"], answer["below"]) == (2, 0)


def test_an_index_that_comes_later_is_found_then(model, index):
    opened = []

    def open_pipeline() -> Pipeline:
        opened.append(len(opened))
        if len(opened) == 1:
            return no_index()
        return Pipeline(Index.open(index, create=False).retriever(), model)

    server = agent_server(model, open_pipeline, version="1")

    first = called(server, "search", query="panda")
    assert first.is_error
    assert "make one with `secondpass index`" in first.content[0].text
    assert answered(server, "search", query="panda")["hits"]
    assert answered(server, "search", query="office")["hits"]
    assert opened == [0, 1]


def test_the_tools_say_what_they_are_for(model):
    async def look():
        async with Client(agent_server(model, no_index, version="1.2")) as client:
            return await client.list_tools()

    tools = {tool.name: tool for tool in asyncio.run(look()).tools}

    assert set(tools) == {"rerank", "search"}
    for tool in tools.values():
        assert tool.annotations.read_only_hint
        assert tool.output_schema["properties"]
        assert "min_probability" in tool.input_schema["properties"]
        assert "best" in tool.description
    assert tools["rerank"].input_schema["required"] == ["query", "texts"]


def test_an_agent_uses_both_tools_over_stdio(index):
    """As an agent would start it, with the bundled model."""
    server = StdioServerParameters(
        command=sys.executable, args=["-c", MAIN, "mcp", "--index", str(index), "--depth", "3"]
    )

    async def use():
        async with Client(stdio_client(server)) as client:
            ranked = await client.call_tool("rerank", {"query": QUERY, "texts": TEXTS, "top_k": 1})
            hits = await client.call_tool("search", {"query": "who opens at nine?", "top_k": 1})
            wrong = await client.call_tool("search", {"query": ""})
            return ranked, hits, wrong

    ranked, hits, wrong = asyncio.run(asyncio.wait_for(use(), timeout=60))

    assert ranked.structured_content["ranked"][0]["text"] == TEXTS[1]
    assert json.loads(ranked.content[0].text) == ranked.structured_content
    (hit,) = hits.structured_content["hits"]
    assert (hit["text"], hit["document"], hit["page"]) == (TEXTS[3], "d3", 3)
    assert wrong.is_error
    assert "expected a question or keywords" in wrong.content[0].text
