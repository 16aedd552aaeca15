"""An endpoint over real HTTP: one that works, and one that does all that endpoints do wrong."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from secondpass import build
from secondpass.endpoints.post import Post, waiting_time
from secondpass.engine.encoder_spec import Encoding
from secondpass.engine.encoders import Endpoint, EndpointEncoder, Usage, load_encoder
from secondpass.errors import EngineError, InvalidInput
from secondpass.settings import Settings
from secondpass.testing import check_encoder
from secondpass.types import Passage

DIMENSION = 6


def embedding(text: str, dimension: int = DIMENSION) -> list[float]:
    """A vector of this text alone, of some length."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return (np.random.default_rng(seed).standard_normal(dimension) * 3).tolist()


def embeddings(body: dict) -> dict:
    data = [{"index": at, "embedding": embedding(text)} for at, text in enumerate(body["input"])]
    return {"data": data, "usage": {"total_tokens": sum(len(text) for text in body["input"])}}


@dataclass
class Server:
    """What was asked, and what is to be answered: `answers` one after another, then the last one.

    An answer is (status, headers, body), the body bytes, or a function of the request's JSON.
    """

    url: str = ""
    answers: list = field(default_factory=lambda: [(200, {}, embeddings)])
    bodies: list = field(default_factory=list)
    headers: list = field(default_factory=list)

    def misbehave(self, *answers) -> None:
        self.answers[:] = answers


@pytest.fixture
def server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            state.headers.append(dict(self.headers))
            status, headers, content = state.answers[0]
            if len(state.answers) > 1:
                state.answers.pop(0)
            if callable(content):
                content = json.dumps(content(body)).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def encoder(server, waits):
    """An encoder that has learnt its dimension, and whose waits are noted, not waited for."""
    post = Post(
        f"{server.url}/embeddings", "secret-key", timeout_s=5, attempts=3, wait=waits.append
    )
    return EndpointEncoder("tiny", Endpoint(server.url, batch_texts=4), Encoding(), post)


def test_an_endpoint_keeps_the_contract_of_encoders(encoder):
    check_encoder(encoder)


def test_by_name_it_asks_the_address_with_the_key_and_the_prompts(server):
    said = Encoding(query_prompt="query: ", passage_prompt="passage: ")
    encoder = load_encoder("openai:tiny", encoding=said, endpoint=Endpoint(server.url, "k1"))

    query, passage = encoder.encode_queries(["a"])[0], encoder.encode_passages(["a"])[0]

    assert encoder.dimension == DIMENSION
    assert [body["input"] for body in server.bodies[1:]] == [["query: a"], ["passage: a"]]
    assert {body["model"] for body in server.bodies} == {"tiny"}
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer k1"}
    for vector, text in ((query, "query: a"), (passage, "passage: a")):
        expected = np.array(embedding(text))
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_settings_name_the_address_and_the_environment_the_key(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not for others")
    chosen = {
        "index": str(tmp_path / "my.index"),
        "encoder": "openai:tiny",
        "encoder_url": server.url,
    }
    with build.index(Settings(**chosen), create=True) as index:
        index.add([Passage(id="a", text="a red fox", document="a")])
    assert "Authorization" not in server.headers[-1]

    monkeypatch.setenv("SECONDPASS_ENCODER_KEY", "k2")
    assert "SECONDPASS_ENCODER_KEY" not in build.unknown_variables()
    with build.index(Settings(**chosen)) as index:
        assert index.retriever(first_stage="dense").retrieve("fox", 1)
    assert server.headers[-1]["Authorization"] == "Bearer k2"


def test_texts_are_sent_in_batches_and_equal_ones_once_and_the_cost_is_told(
    encoder, server, caplog
):
    seen = []
    encoder.on_progress = seen.append
    texts = [f"text {at % 6}" for at in range(12)]

    with caplog.at_level("INFO"):
        vectors = encoder.encode_passages(texts)

    assert [len(body["input"]) for body in server.bodies[1:]] == [4, 2]
    np.testing.assert_array_equal(vectors[:6], vectors[6:])
    tokens = len("dimension") + 6 * len("text 0")
    assert encoder.usage == seen[-1] == Usage(requests=3, texts=7, tokens=tokens)
    assert f"7 texts encoded by 'tiny', {tokens} tokens" in caplog.text


def test_vectors_are_put_in_the_order_of_the_texts(encoder, server):
    expected = encoder.encode_passages(["a", "b", "c"])
    server.misbehave((200, {}, lambda body: {"data": embeddings(body)["data"][::-1]}))

    np.testing.assert_array_equal(encoder.encode_passages(["a", "b", "c"]), expected)


def test_a_busy_endpoint_is_asked_again_when_it_says(encoder, server, waits):
    fine = (200, {}, embeddings)
    server.misbehave((429, {"Retry-After": "7"}, b"{}"), (503, {}, b"later"), fine)

    assert encoder.encode_queries(["a"]).shape == (1, DIMENSION)

    assert waits[0] == 7
    assert 0.75 <= waits[1] <= 1.25


def test_an_endpoint_that_fails_for_ever_is_given_up(encoder, server, waits):
    server.misbehave((500, {}, b'{"error": {"message": "out of memory"}}'))
    asked = len(server.bodies)

    with pytest.raises(EngineError, match=r"failed 3 times.*status 500: out of memory") as caught:
        encoder.encode_queries(["a"])

    assert len(server.bodies) - asked == 3
    assert len(waits) == 2
    assert "secret-key" not in str(caught.value)


def test_nobody_at_the_address_is_tried_again_too(waits):
    post = Post("http://127.0.0.1:9/v1/embeddings", attempts=2, timeout_s=5, wait=waits.append)

    with pytest.raises(EngineError, match="failed 2 times"):
        post({})
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, b'{"error": {"message": "bad key"}}'), "status 401: bad key; check the key"),
        ((404, {}, b"nothing here"), "status 404: nothing here; check the address"),
        ((400, {}, b'{"error": "too long"}'), "status 400: too long;.*longer than the model reads"),
    ],
)
def test_what_another_try_would_not_mend_is_an_error_at_once(
    answer, message, encoder, server, waits
):
    server.misbehave(answer)

    with pytest.raises(EngineError, match=message):
        encoder.encode_queries(["a"])
    assert not waits


def answering(change):
    """A body whose data are changed."""
    return lambda body: {"data": change(embeddings(body)["data"])}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>busy</html>", "answered '<html>busy</html>', which is no JSON"),
        (b"[]", "answered with a list"),
        (b"", "which is no JSON"),
        (lambda _: {"error": "x"}, r"without a list 'data' \(it has error\)"),
        (lambda _: {"data": [1, 2]}, "without a list 'data'"),
        (answering(lambda data: data[:1]), "gave 1 vectors for 2 texts"),
        (answering(lambda data: [*data, data[0]]), "gave 3 vectors for 2 texts"),
        (answering(lambda data: [data[0], data[0]]), r"numbers its vectors \[0, 0\]"),
        (answering(lambda data: [{**one, "index": "x"} for one in data]), "numbers its vectors"),
        (answering(lambda data: [{**one, "embedding": one["embedding"][:5]} for one in data]), "vectors of 5 numbers; expected 6"),
        (answering(lambda data: [data[0], {"index": 1, "embedding": [1.0]}]), "equally many numbers"),
        (answering(lambda data: [{**one, "embedding": "AAAA"} for one in data]), "equally many numbers"),
        (answering(lambda data: [{**one, "embedding": []} for one in data]), r"shape \[2, 0\]"),
        (answering(lambda data: [{"index": at} for at in range(2)]), "lists of equally many|shape"),
        (answering(lambda data: [data[0], {"index": 1, "embedding": [float("nan")] * 6}]), "NaN or infinite numbers for text 1"),
        (answering(lambda data: [{**one, "embedding": [0.0] * 6} for one in data]), "only zeros for text 0"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_vectors_for_these_texts_is_an_error(
    content, message, encoder, server
):
    server.misbehave((200, {}, content))

    with pytest.raises(EngineError, match=message):
        encoder.encode_passages(["a", "b"])


def test_a_connection_that_breaks_off_is_tried_again(encoder, server, waits):
    server.misbehave((200, {"Content-Length": "999"}, b"{"), (200, {}, embeddings))

    assert encoder.encode_queries(["a"]).shape == (1, DIMENSION)
    assert len(waits) == 1


def test_shorter_vectors_can_be_asked_for(server):
    server.misbehave((200, {}, embeddings))
    encoder = load_encoder("openai:tiny", endpoint=Endpoint(server.url, dimensions=DIMENSION))
    encoder.encode_queries(["a"])

    assert [body["dimensions"] for body in server.bodies] == [DIMENSION]


def test_the_fingerprint_is_of_model_dimension_and_prompts_and_the_key_is_not_shown(server):
    def opened(model="tiny", **said):
        return EndpointEncoder.open(model, Endpoint(server.url, "k1"), encoding=Encoding(**said))

    marks = {
        opened().fingerprint,
        opened("other").fingerprint,
        opened(query_prompt="q").fingerprint,
    }

    assert len(marks) == 3
    assert opened().fingerprint in marks
    assert "k1" not in repr(Endpoint(server.url, "k1")) + repr(Post(server.url, "k1"))


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("2.5", 2.5, 2.5),
        ("9999", 60, 60),
        ("-3", 0, 0),
        ("soon", 1.5, 2.5),
        ("nan", 1.5, 2.5),
        (None, 1.5, 2.5),
    ],
)
def test_waiting_is_what_was_asked_for_or_twice_as_long_each_time(asked, least, most):
    assert least <= waiting_time(3, asked) <= most


def test_a_date_to_come_back_at_is_understood():
    assert waiting_time(1, formatdate(0, usegmt=True)) == 0
    assert waiting_time(1, formatdate(4e9, usegmt=True)) == 60


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"url": "localhost:8000"}, "url='localhost:8000' is no address"),
        ({"attempts": 0}, "attempts=0"),
        ({"batch_texts": -1}, "batch_texts=-1"),
        ({"timeout_s": float("nan")}, "timeout_s=nan"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_refused(said, message):
    with pytest.raises(InvalidInput, match=message):
        Endpoint(**said)


def test_offline_and_a_name_without_a_model_are_refused():
    with pytest.raises(InvalidInput, match="offline was asked for"):
        load_encoder("openai:tiny", offline=True)
    with pytest.raises(InvalidInput, match="expected 'openai:MODEL'"):
        load_encoder("openai:")
