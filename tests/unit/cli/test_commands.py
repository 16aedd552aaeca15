"""The commands as a person and as a program meet them, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PASSAGES = [
    "Giant pandas eat bamboo.",
    "hi",
    "The giant panda is a bear species endemic to China.",
    "大熊猫是中国特有的一种熊科动物。",
]


def secondpass(
    *arguments: object, stdin: str | None = None, cwd: Path | None = None, **environment
):
    command = [sys.executable, "-c", "from secondpass.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        cwd=cwd,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if "SECONDPASS" not in name},
            "COLUMNS": "100",
            "TERM": "dumb",
            **environment,
        },
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory, checkpoint) -> Path:
    """A folder with documents, an index of them, and a small model."""
    home = tmp_path_factory.mktemp("home")
    docs = home / "docs"
    docs.mkdir()
    (docs / "panda.md").write_text("# Pandas\n\nThe giant panda is a bear.\n\n## Food\n\nBamboo.\n")
    (docs / "zh.txt").write_text("大熊猫是中国特有的一种熊科动物。它吃竹子。\n", encoding="utf-8")
    (docs / "empty.txt").write_text("\n")
    (home / "model").symlink_to(checkpoint("bert"))
    done = secondpass("index", "docs", "--index", "my.index", cwd=home)
    assert done.returncode == 0, done.stderr
    assert re.match(r"2 documents added; \d passages written\nmy.index holds 2 ", done.stdout)
    assert "empty.txt" in done.stderr
    return home


def test_search_prints_one_json_object(home):
    done = secondpass(
        "search", "What is a panda?", "--index", "my.index", "-m", "./model", "-f", "json", cwd=home
    )

    answer = json.loads(done.stdout)
    assert done.stderr == ""
    assert answer["query"] == "What is a panda?"
    assert {"retrieve", "rerank", "total"} <= set(answer["timings_ms"])
    hit = answer["hits"][0]
    assert {"rank", "score", "probability", "text", "document", "path", "start", "end"} <= set(hit)
    assert hit["first_stage"].keys() == {"rank", "score"}
    assert hit["headings"] == ["Pandas"]
    text = Path(hit["path"]).read_text()
    assert text[hit["start"] : hit["end"]] == hit["text"]
    assert [one["rank"] for one in answer["hits"]] == list(range(1, len(answer["hits"]) + 1))


def test_search_finds_chinese_and_speaks_plain_text_in_a_pipe(home):
    done = secondpass("search", "竹子", "-i", "my.index", "-m", "./model", cwd=home)

    (line,) = done.stdout.splitlines()
    rank, probability, source, text = line.split("\t")
    assert (rank, source) == ("1", "docs/zh.txt")
    assert 0 <= float(probability) <= 1
    assert text.startswith("大熊猫")


def test_the_table_names_source_and_movement(home):
    done = secondpass(
        "search", "panda bamboo", "-i", "my.index", "-m", "./model", "-f", "table", cwd=home
    )

    assert "docs/panda.md › Pandas" in done.stdout
    assert "moved" in done.stdout
    assert "ms to rerank" in done.stdout


def test_the_first_stage_alone_needs_no_model(home):
    done = secondpass("search", "panda", "-i", "my.index", "--no-rerank", "-f", "jsonl", cwd=home)

    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(hit["probability"] is None for hit in hits)
    assert hits[0]["score"] == hits[0]["first_stage"]["score"]


def test_nothing_found_is_no_error(home):
    done = secondpass("search", "xyzzy", "-i", "my.index", "--no-rerank", "-f", "json", cwd=home)

    assert done.returncode == 0
    assert json.loads(done.stdout)["hits"] == []


def test_many_queries_make_a_run(home):
    queries = home / "queries.jsonl"
    queries.write_text('{"_id": "q1", "text": "panda"}\n{"_id": "q2", "text": "xyzzy"}\n')

    done = secondpass(
        *("search", "--queries", queries, "-i", "my.index", "-m", "./model"),
        *("--top-k", 5, "--run", home / "out.run"),
        cwd=home,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "found nothing and have no line: 1" in done.stderr
    (line,) = (home / "out.run").read_text().splitlines()
    query, q0, document, rank, score, tag = line.split()
    assert (query, q0, rank, tag) == ("q1", "Q0", "1", "secondpass")
    assert document == (home / "docs" / "panda.md").resolve().as_posix()
    float(score)


def test_a_second_run_of_index_changes_nothing_and_an_edit_replaces(home, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("first version")
    secondpass("index", docs, cwd=tmp_path)

    again = secondpass("index", docs, cwd=tmp_path)
    (docs / "a.txt").write_text("second version")
    edited = secondpass("index", docs, "--json", cwd=tmp_path)
    found = secondpass("search", "version", "--no-rerank", cwd=tmp_path)

    assert "1 document unchanged; 0 passages written" in again.stdout
    assert json.loads(edited.stdout)["replaced"] == 1
    assert "second version" in found.stdout
    assert "first version" not in found.stdout


def test_a_document_that_became_blank_is_found_no_more(tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "b.jsonl").write_text('{"_id": "r1", "text": "a text too"}')
    secondpass("index", "a.txt", "b.jsonl", cwd=tmp_path)
    (tmp_path / "a.txt").write_text("\n")
    (tmp_path / "b.jsonl").write_text('{"_id": "r1", "text": ""}')

    done = secondpass("index", "a.txt", "b.jsonl", cwd=tmp_path)

    assert "2 documents removed from the index, now blank" in done.stderr
    assert secondpass("search", "text", "--no-rerank", cwd=tmp_path).stdout == ""


def test_one_bad_file_does_not_stop_the_rest(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.txt").write_text("a good text")
    (docs / "bad.pdf").write_bytes(b"no pdf")
    (docs / "bad.txt").write_bytes(b"a\x00b")

    done = secondpass("index", docs, cwd=tmp_path)

    assert done.returncode == 1
    assert "1 document added" in done.stdout
    assert "bad.pdf" in done.stderr
    assert "bad.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_documents_can_be_removed_by_path_or_id(tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "b.jsonl").write_text('{"_id": "r1", "text": "a record"}')
    secondpass("index", "a.txt", "b.jsonl", cwd=tmp_path)

    done = secondpass("delete", "a.txt", "r1", cwd=tmp_path)
    missing = secondpass("delete", "r1", cwd=tmp_path)

    assert done.stdout == "2 documents removed\n"
    assert missing.returncode == 1
    assert json.loads(secondpass("info", "--json", cwd=tmp_path).stdout)["documents"] == 0


def test_rerank_is_a_filter_in_a_pipe(home):
    done = secondpass(
        "rerank", "what is a panda?", "-m", "./model", stdin="\n".join(PASSAGES), cwd=home
    )

    assert sorted(done.stdout.splitlines()) == sorted(PASSAGES)


def test_rerank_prints_json_lines(home, tmp_path):
    path = tmp_path / "passages.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"p{at}", "text": t}) + "\n" for at, t in enumerate(PASSAGES))
    )

    done = secondpass(
        "rerank", "what is a panda?", path, "-m", "./model", "-f", "jsonl", "-k", 2, cwd=home
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["rank"] for line in lines] == [1, 2]
    for line in lines:
        assert {"rank", "index", "score", "probability", "text"} <= set(line)
        assert line["text"] == PASSAGES[line["index"]]
        assert line["id"] == f"p{line['index']}"
    assert lines[0]["score"] >= lines[1]["score"]


def test_a_reader_that_leaves_early_is_no_error(home):
    command = f"{sys.executable} -c 'from secondpass.cli import main; main()'"
    texts = "\n".join(f"panda {number}" for number in range(3000))

    done = subprocess.run(
        ["bash", "-c", f"{command} rerank panda -m ./model | head -n 1"],
        input=texts, capture_output=True, text=True, cwd=home, timeout=120, check=False,
    )  # fmt: skip

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "why?", "-i", "none.index"], "none.index"),
        (["search", "", "-i", "my.index", "--no-rerank"], "the query is blank"),
        (["search", "-i", "my.index"], "give either a query or --queries"),
        (["search", "x", "-i", "docs"], "docs"),
        (["search", "x", "-i", "docs/panda.md"], "panda.md"),
        (
            ["search", "x", "-i", "my.index", "-m", "nowhere"],
            "'nowhere' is no folder and no bundled",
        ),
        (["search", "x", "-i", "my.index", "--no-rerank", "--top-k", "0"], "top_k=0"),
        (["search", "x", "-i", "my.index", "--no-rerank", "--where", "lang"], "--where 'lang'"),
        (["rerank", "x", "none.txt", "-m", "./model"], "'none.txt' cannot be read"),
        (["rerank", " ", "docs/zh.txt", "-m", "./model"], "the query is"),
        (["index", "nowhere", "-i", "new.index"], "nowhere"),
        (["index", "docs", "-i", "new.index", "--by", "verse"], "verse"),
        (["export", "./model", "docs"], "'docs' exists"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_1(arguments, message, home):
    done = secondpass(*arguments, cwd=home)

    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("secondpass: error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (home / "new.index").exists()


def test_an_unknown_option_is_exit_code_2(home):
    assert secondpass("search", "x", "--colour", cwd=home).returncode == 2


def test_help_teaches_and_version_tells():
    help_text = secondpass("--help").stdout

    assert "secondpass index docs/ report.pdf --index my.index" in help_text
    assert re.fullmatch(r"secondpass \d+\.\d+\.\d+\n", secondpass("--version").stdout)
    for command in ("index", "search", "rerank", "info", "delete", "export"):
        assert secondpass(command, "--help").returncode == 0
        assert re.search(rf"^  {command}\b|{command} ", help_text, re.MULTILINE)


def test_an_interrupt_keeps_what_was_finished(tmp_path):
    records = tmp_path / "many.jsonl"
    with records.open("w") as file:
        for number in range(60_000):
            text = f"record {number} about pandas " * 10
            file.write(json.dumps({"_id": f"r{number}", "text": text}) + "\n")
    command = [sys.executable, "-c", "from secondpass.cli import main; main()"]
    running = subprocess.Popen(
        [*command, "index", "many.jsonl"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "secondpass.index-wal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 2_000_000):
        time.sleep(0.05)

    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)

    assert running.returncode == 130
    assert "run the same command again to continue" in told
    assert "Traceback" not in told
    kept = json.loads(secondpass("info", "--json", cwd=tmp_path).stdout)["documents"]
    assert 0 < kept < 60_000
