"""Rewordings from a model behind real HTTP, and the query alone where that goes wrong."""

from __future__ import annotations

import json

import pytest

from chat_server import Reply, chat_server, said
from secondpass.endpoints import Chat
from secondpass.errors import InvalidInput
from secondpass.expansion import ChatExpander, ExpandedRetriever
from secondpass.pipeline import Pipeline
from secondpass.retrieval import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.types import Expansion, Passage


@pytest.fixture
def server():
    with chat_server() as server:
        yield server


@pytest.fixture
def expander(server):
    return ChatExpander(Chat.open(server.url, timeout_s=5, attempts=1), 3)


@pytest.mark.parametrize(
    "reply",
    [
        '["one", "two"]',
        '```json\n["one", "two"]\n```',
        'Here they are: {"queries": ["one", "two"]} Good luck!',
        '<think>["no"] or ["never"]?</think>\n["one", " two\\n"]',
        '["one", "why?", "", "two", "one", "  "]',
        json.dumps(["one", "x" * 301, "two"]),
    ],
)
def test_a_list_of_queries_is_understood(reply, server, expander):
    server.will(said(reply))

    assert expander.expand("why?") == Expansion(("one", "two"), "chat")


def test_more_than_asked_for_are_cut(server, expander):
    server.will(said(json.dumps([f"q{at}" for at in range(9)])))

    assert expander.expand("why?").queries == ("q0", "q1", "q2")


@pytest.mark.parametrize(
    ("query", "has"),
    [
        ("推动北京财政收入增长的因素是什么", "3条不同的问法"),
        ("What drives revenue?", "Write 3 other ways"),
        ("東京の人口は？", "Use the language of the query"),
    ],
)
def test_the_prompt_is_in_the_language_of_the_query(query, has, server, expander):
    server.will(said('["x"]'))
    expander.expand(query)

    instruction, asked = server.bodies[0]["messages"]
    assert has in instruction["content"]
    assert asked == {"role": "user", "content": query}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (said("I cannot help with that."), "replied 'I cannot help"),
        (said('["one", 2]'), "expected a JSON array of queries"),
        (said('{"queries": "one"}'), "expected a JSON array"),
        (said("[]"), "expected a JSON array"),
        (said('["", "  "]'), "not blank"),
        (said('["one", "two'), "expected a JSON array"),
        (said("[" * 5000 + "]"), "expected a JSON array"),
        (said('["why?"]'), "repeated the query"),
        (Reply([b"{}"], 500), "status 500"),
        (Reply([b"gar"], 200), "no JSON"),
    ],
)
def test_where_it_fails_the_query_is_asked_alone_and_the_answer_says_why(
    reply, why, server, expander
):
    server.will(reply)
    with Index(MemoryStore()) as index:
        index.add([Passage("p", "why? because", "d")])
        retriever = index.retriever()
        answer = Pipeline(ExpandedRetriever(retriever, expander), None).explain("why?")

    assert [hit.text for hit in answer.hits] == ["why? because"]
    assert answer.expansion.queries == ()
    assert why in answer.expansion.failure


def test_no_rewordings_are_not_asked_for():
    with pytest.raises(InvalidInput, match="count=0"):
        ChatExpander(Chat.open("http://127.0.0.1:9/v1"), 0)
