"""`secondpass ask` as a person and as a program meet it; a model behind real HTTP."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from chat_server import Reply, chat_server, said, streamed
from terminal import secondpass

TEXTS = {"panda": "The giant panda eats bamboo.", "grass": "Bamboo is a grass."}


@pytest.fixture(scope="module")
def home(tmp_path_factory, checkpoint):
    home = tmp_path_factory.mktemp("home")
    lines = [json.dumps({"_id": id, "text": text}) for id, text in TEXTS.items()]
    (home / "records.jsonl").write_text("\n".join(lines))
    (home / "model").symlink_to(checkpoint("bert"))
    done = secondpass("index", "records.jsonl", "-i", "my.index", "--encoder", "none", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def server():
    with chat_server() as server:
        yield server


def ask(home, server, query, *more, **environment):
    options = ["-i", "my.index", "-m", "./model", "--llm", server.url, *more]
    return secondpass("ask", query, *options, cwd=home, **environment)


def test_the_answer_cites_its_sources_which_follow(home, server):
    server.will(streamed("Pandas eat ", "bamboo [1]", "."))

    done = ask(home, server, "giant panda bamboo", "--llm-model", "tiny", SECONDPASS_LLM_KEY="k1")

    assert (done.returncode, done.stderr) == (0, "")
    first, *_, passages = server.bodies[0]["messages"]
    order = sorted(TEXTS, key=lambda name: passages["content"].index(TEXTS[name]))
    assert done.stdout == f"Pandas eat bamboo [1].\n\n[1] {order[0]}\n[2] {order[1]} (not cited)\n"
    assert "cite the passages" in first["content"]
    assert (server.bodies[0]["model"], server.headers[0]["Authorization"]) == ("tiny", "Bearer k1")


def test_pieces_are_printed_as_they_come(home, server):
    """The server sends its second piece when the first one has been read from the command."""
    read, write = os.pipe()

    class Waiting(list):
        def __iter__(self):
            first, *rest = list.__iter__(self)
            yield first
            assert os.read(read, 1)
            yield from rest

    reply = streamed("one ", "two")
    server.will(dataclasses.replace(reply, chunks=Waiting(reply.chunks)))
    code = "from secondpass.cli import main; main()"
    options = ["ask", "panda", "-i", "my.index", "-m", "./model", "--llm", server.url]
    with subprocess.Popen(
        [sys.executable, "-c", code, *options], cwd=home, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.read(4) == b"one "
        os.write(write, b"!")
        assert process.stdout.read().startswith(b"two\n")
    assert process.returncode == 0


def test_as_json_it_is_one_object(home, server):
    server.will(said("Bamboo [1][7]."))

    done = ask(home, server, "giant panda", "--format", "json", "--top-k", "1", "--expand", "1")

    answer = json.loads(done.stdout)
    assert answer["answer"] == "Bamboo [1][7]."
    assert (answer["complete"], answer["failure"]) == (True, None)
    assert (answer["cited"], answer["unknown"]) == ([1], [7])
    assert [(one["number"], one["document"]) for one in answer["sources"]] == [(1, "panda")]
    assert "cites what is none of the 1 passages: 7" in done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_answer_that_stops_in_the_middle_is_kept_and_said_to_be_incomplete(form, home, server):
    server.will(streamed("Pandas eat [1]", finish=None, done=False))

    done = ask(home, server, "giant panda", "-f", form)

    assert done.returncode == 1
    assert "the answer is incomplete" in done.stderr
    assert "stopped in the middle" in done.stderr
    if form == "json":
        answer = json.loads(done.stdout)
        assert (answer["answer"], answer["complete"]) == ("Pandas eat [1]", False)
        assert "stopped in the middle" in answer["failure"]
    else:
        assert done.stdout.startswith("Pandas eat [1]\n\n[1] panda\n")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply([b'{"error": {"message": "bad key"}}'], 401), "bad key; check the key"),
        (Reply([b'{"error": {"message": "no such model"}}'], 404), "no such model"),
        (Reply([b"<html>"], 200), "no JSON"),
        (said(None), "answered nothing"),
    ],
)
def test_what_was_found_is_shown_where_the_model_says_nothing(reply, message, home, server):
    server.will(reply)

    done = ask(home, server, "giant panda", SECONDPASS_LLM_KEY="secret-key")

    assert (done.returncode, done.stdout) == (1, "[1] panda\n")
    assert "the answer is missing" in done.stderr
    assert message in done.stderr
    assert "secret-key" not in done.stderr


def test_without_an_endpoint_it_says_what_to_set(home):
    done = secondpass("ask", "panda", "-i", "my.index", cwd=home)

    assert (done.returncode, done.stdout) == (2, "")
    for name in ("--llm", "SECONDPASS_LLM", "SECONDPASS_LLM_KEY"):
        assert name in done.stderr


def test_where_nothing_is_found_the_model_is_not_asked(home, server):
    done = ask(home, server, "zebra")

    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing found" in done.stderr
    assert server.bodies == []


def test_what_a_model_says_cannot_steer_the_terminal(home, server):
    server.will(streamed("\x1b[2Jred\x07\n\tline \r[1]"))

    assert ask(home, server, "giant panda").stdout.startswith("[2Jred\n\tline [1]\n")
