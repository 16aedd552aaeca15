"""Expanded searches as a person and as a program meet them; a model behind real HTTP."""

from __future__ import annotations

import json

import pytest

from chat_server import Reply, chat_server, said
from terminal import secondpass

TEXTS = {
    "panda": "The giant panda is a bear that eats bamboo.",
    "bamboo": "Bamboo is a grass; pandas and people eat it.",
    "office": "The office opens at nine on weekdays.",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    lines = [json.dumps({"_id": id, "text": text}) for id, text in TEXTS.items()]
    (home / "records.jsonl").write_text("\n".join(lines))
    done = secondpass("index", "records.jsonl", "-i", "my.index", "--encoder", "none", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def server():
    with chat_server() as server:
        yield server


def search(home, *more, form="json", **environment):
    done = secondpass(
        *("search", "panda", "-i", "my.index", "--no-rerank", "-f", form, *more),
        cwd=home,
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_further_queries_of_ones_own(home):
    answer = json.loads(search(home, "--also", "opens", "--also", "grass").stdout)

    assert answer["expansion"] == {
        "source": "given",
        "queries": ["opens", "grass"],
        "failure": None,
    }
    queries = {hit["document"]: hit["first_stage"]["queries"] for hit in answer["hits"]}
    assert queries == {"panda": {"panda": 1}, "office": {"opens": 1}, "bamboo": {"grass": 1}}
    assert json.loads(search(home).stdout)["expansion"] is None


def test_a_model_words_the_query_anew_and_a_key_comes_from_the_environment(home, server):
    server.will(said('["when does it open?", "grass"]'))

    done = search(
        *(home, "--expand", "2", "--llm", server.url, "--llm-model", "tiny"),
        SECONDPASS_LLM_KEY="k1",
        OPENAI_API_KEY="k2",
    )

    answer = json.loads(done.stdout)
    assert answer["expansion"]["source"] == "chat"
    assert answer["expansion"]["queries"] == ["when does it open?", "grass"]
    assert {hit["document"] for hit in answer["hits"]} >= {"panda", "bamboo"}
    assert (server.bodies[0]["model"], server.headers[0]["Authorization"]) == ("tiny", "Bearer k1")
    assert done.stderr == ""


def test_the_key_of_another_service_is_not_sent(home, server):
    server.will(said('["grass"]'))
    search(home, "--expand", "1", SECONDPASS_LLM=server.url, OPENAI_API_KEY="k2")

    assert "Authorization" not in server.headers[0]


def test_a_model_that_fails_is_said_and_the_query_is_asked_alone(home, server):
    server.will(Reply([b'{"error": {"message": "bad key"}}'], 401))

    done = search(home, "--expand", "2", "--llm", server.url, SECONDPASS_LLM_KEY="k1")
    answer = json.loads(done.stdout)

    assert [hit["document"] for hit in answer["hits"]] == ["panda"]
    assert "status 401: bad key" in answer["expansion"]["failure"]
    assert "asked alone, not expanded" in done.stderr
    assert "k1" not in done.stderr + done.stdout
    table = search(home, "--expand", "2", "--llm", server.url, form="table").stdout
    assert "asked too (chat): nothing" in " ".join(table.split())


def test_without_a_model_the_first_answers_give_the_words(home):
    answer = json.loads(search(home, "--expand", "1").stdout)

    assert answer["expansion"]["source"] == "feedback"


def test_many_queries_can_be_expanded(home, server):
    (home / "q.jsonl").write_text(
        '{"_id": "q1", "text": "panda"}\n{"_id": "q2", "text": "grass"}\n'
    )
    server.will(said('["opens"]'), said("no"))
    done = secondpass(
        *("search", "--queries", "q.jsonl", "--run", "out.run", "-i", "my.index", "--no-rerank"),
        *("--expand", "1", "--llm", server.url),
        cwd=home,
    )

    assert done.returncode == 0, done.stderr
    found = [line.split()[:3:2] for line in (home / "out.run").read_text().splitlines()]
    assert found == [["q1", "panda"], ["q1", "office"], ["q2", "bamboo"]]
    assert "asked alone, not expanded: 1" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--also", "x", "--expand", "2"], "leave out --expand"),
        (["--also", " "], "a further query is ' '"),
        (["--expand", "-1"], "expand=-1"),
        (["--expand", "1", "--llm", "localhost:80"], "is no address"),
        (["--expand", "1", "--llm", "http://127.0.0.1:9", "--offline"], "offline was asked for"),
    ],
)
def test_what_makes_no_sense_is_refused(home, options, message):
    done = secondpass("search", "panda", "-i", "my.index", "--no-rerank", *options, cwd=home)

    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_near_duplicates_share_a_score_and_say_so(home, checkpoint, tmp_path):
    text = "the quick panda jumps over the lazy dog and runs into the deep green forest"
    texts = [text, text.replace("deep", "dark"), "a panda"]
    lines = [json.dumps({"_id": f"d{at}", "text": text}) for at, text in enumerate(texts)]
    (tmp_path / "records.jsonl").write_text("\n".join(lines))
    secondpass("index", "records.jsonl", "-i", "my.index", "--encoder", "none", cwd=tmp_path)
    options = ["-i", "my.index", "-m", checkpoint("bert"), "--near-duplicates", "0.6"]

    done = secondpass("search", "quick panda deep", *options, "-f", "json", cwd=tmp_path)

    answer = json.loads(done.stdout)
    hits = {hit["document"]: hit for hit in answer["hits"]}
    assert hits["d1"]["same_as"] == hits["d0"]["rank"]
    assert hits["d1"]["score"] == hits["d0"]["score"]
    assert (hits["d0"]["same_as"], answer["candidates"]["near_duplicates"]) == (None, 1)
    table = secondpass("search", "quick panda deep", *options, "-f", "table", cwd=tmp_path).stdout
    assert f"nearly the same as {hits['d0']['rank']}" in " ".join(table.split())
