"""A model behind real HTTP: one that works, and all that endpoints do wrong."""

from __future__ import annotations

import dataclasses

import pytest

from chat_server import ChatServer, Reply, chat_server, event, said, streamed
from secondpass.endpoints import Chat, Message, address
from secondpass.errors import EngineError, InvalidInput

ASK = [Message("system", "Be short."), Message("user", "why?")]


@pytest.fixture
def server():
    with chat_server() as server:
        yield server


@pytest.fixture
def waits():
    return []


@pytest.fixture
def chat(server: ChatServer, waits: list[float]) -> Chat:
    """A model whose client notes its waits and does not wait."""
    chat = Chat.open(server.url, model="tiny", key="secret-key", timeout_s=5, attempts=3)
    return dataclasses.replace(chat, post=dataclasses.replace(chat.post, wait=waits.append))


def test_a_reply_is_asked_for_as_the_protocol_says(server, chat):
    server.will(said("Because."))

    assert chat.reply(ASK) == "Because."

    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == "Bearer secret-key"
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "why?"}]
    assert server.bodies == [{"model": "tiny", "messages": messages, "stream": False}]


def test_without_key_and_model_none_is_sent(server):
    server.will(said("Because."))
    Chat.open(server.url).reply(ASK)

    assert "Authorization" not in server.headers[0]
    assert "model" not in server.bodies[0]


def test_a_stream_comes_in_pieces_even_when_cut_within_a_character(server, chat):
    whole = b"".join(streamed("", "熊", "猫 ", "[1]").chunks)
    server.will(Reply([b": hello\n\n", *(bytes([one]) for one in whole)], kind="text/event-stream"))

    assert list(chat.stream(ASK)) == ["熊", "猫 ", "[1]"]
    assert server.bodies[0]["stream"] is True


@pytest.mark.parametrize(
    "reply",
    [
        streamed("a", "b", done=False),
        streamed("a", "b", finish=None),
        Reply(
            [event("a"), event("b", "stop"), b'data: {"choices": [], "usage": {}}\n\n'],
            kind="text/event-stream; charset=utf-8",
        ),
        said("ab"),  # an endpoint that does not stream
    ],
)
def test_a_stream_that_came_to_its_end_is_whole(reply, server, chat):
    server.will(reply)

    assert "".join(chat.stream(ASK)) == "ab"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (streamed("a", "b", finish=None, done=False), "stopped in the middle"),
        (dataclasses.replace(streamed("a", "b", finish=None, done=False), cut=True), "stopped in"),
        (streamed("a", "b", finish="length"), "limit of tokens"),
        (streamed("a", "b", finish="content_filter"), "held back its answer"),
        (
            Reply([event("a"), event("b"), b'data: {"error": {"message": "no memory"}}\n\n']),
            "failed in its answer: no memory",
        ),
        (Reply([event("a"), event("b"), b"data: <html>\n\n"]), "answered '<html>'"),
        (Reply([event("a"), event("b"), b'data: {"choices": [3]}\n\n']), "/chat/completions"),
    ],
)
def test_what_came_before_a_stream_broke_is_kept(reply, message, server, chat):
    server.will(dataclasses.replace(reply, kind="text/event-stream"))
    pieces = []

    with pytest.raises(EngineError, match=message):
        pieces.extend(chat.stream(ASK))

    assert pieces == ["a", "b"]
    assert len(server.bodies) == 1


def test_a_slow_stream_is_given_up(server):
    chat = Chat.open(server.url, timeout_s=0.2, attempts=1)
    reply = streamed("a", finish=None, done=False)

    class Slow(list):
        def __iter__(self):
            import time

            yield from list.__iter__(self)
            time.sleep(1)

    server.will(dataclasses.replace(reply, chunks=Slow(reply.chunks)))
    pieces = []
    with pytest.raises(EngineError, match=r"stopped in the middle.*[tT]ime"):
        pieces.extend(chat.stream(ASK))
    assert pieces == ["a"]


@pytest.mark.parametrize(
    "ask", [Chat.reply, lambda *given: list(Chat.stream(*given))], ids=["reply", "stream"]
)
@pytest.mark.parametrize(
    "failure",
    [
        (Reply([b'{"error": {"message": "bad key"}}'], 401), "401: bad key; check the key", 1),
        (Reply([b'{"error": {"message": "no model"}}'], 404), "no model.*the model's name", 1),
        (Reply([b"{}"], 429, headers={"Retry-After": "7"}), "failed 3 times.*status 429", 3),
        (Reply([b"out of memory"], 500), "failed 3 times.*status 500: out of memory", 3),
        (Reply([b"<html>busy</html>"]), "no JSON", 1),
        (Reply([b"[1]"]), "answered with a list", 1),
        (Reply([b"[" * 5000]), "no JSON", 1),
        (Reply([b'{"choices": []}']), "expected the answer of an OpenAI-compatible", 1),
        (said(None), "answered nothing", 1),
        (said(" \n"), "answered nothing", 1),
        (said("cut o", "length"), "limit of tokens", 1),
    ],
)
def test_a_failure_says_what_it_is(ask, failure, server, chat, waits):
    reply, message, tries = failure
    server.will(reply)

    with pytest.raises(EngineError, match=message) as caught:
        ask(chat, ASK)

    assert (len(server.bodies), len(waits)) == (tries, tries - 1)
    assert "secret-key" not in f"{caught.value}{chat}"


def test_a_stream_of_nothing_is_an_error(server, chat):
    server.will(streamed())

    with pytest.raises(EngineError, match="answered nothing"):
        list(chat.stream(ASK))


def test_a_busy_endpoint_is_asked_again(server, chat, waits):
    server.will(Reply([b"{}"], 429, headers={"Retry-After": "7"}), Reply([b""], 503), said("yes"))

    assert list(chat.stream(ASK)) == ["yes"]
    assert waits[0] == 7


def test_the_key_is_not_sent_on_to_where_an_endpoint_redirects(server, chat):
    with chat_server() as elsewhere:
        elsewhere.will(said("no"))
        server.will(Reply([b""], 302, headers={"Location": f"{elsewhere.url}/chat/completions"}))
        with pytest.raises(EngineError):
            chat.reply(ASK)
        assert all("Authorization" not in headers for headers in elsewhere.headers)


def test_nobody_at_the_address_is_an_error():
    with pytest.raises(EngineError, match="failed once, with"):
        Chat.open("http://127.0.0.1:9/v1", attempts=1).reply(ASK)


def test_an_address_may_have_its_path_already():
    assert address("http://h/v1/", "chat/completions") == "http://h/v1/chat/completions"
    assert address("http://h/v1/chat/completions", "chat/completions").count("chat") == 1


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:8000", {}, "is no address"),
        ("file:///etc/passwd", {}, "is no address"),
        ("http://h", {"timeout_s": 0}, "timeout_s=0"),
        ("http://h", {"timeout_s": float("nan")}, "timeout_s=nan"),
        ("http://h", {"attempts": 0}, "attempts=0"),
    ],
)
def test_what_cannot_be_asked_is_refused(url, options, message):
    with pytest.raises(InvalidInput, match=message):
        Chat.open(url, **options)
