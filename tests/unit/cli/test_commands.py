"""The commands as a person and as a program meet them, each in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from terminal import secondpass

PASSAGES = [
    "Giant pandas eat bamboo.",
    "hi",
    "The giant panda is a bear species endemic to China.",
    "大熊猫是中国特有的一种熊科动物。",
]


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
    assert hit["first_stage"].keys() == {"rank", "score", "legs", "queries"}
    assert hit["first_stage"]["legs"] == {}
    assert hit["headings"] == ["Pandas"]
    text = Path(hit["path"]).read_text()
    assert text[hit["start"] : hit["end"]] == hit["text"]
    assert [one["rank"] for one in answer["hits"]] == list(range(1, len(answer["hits"]) + 1))


def test_a_new_index_has_vectors_of_the_bundled_encoder(home, tmp_path):
    done = secondpass("index", home / "docs", "-i", "my.index", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(secondpass("info", "-i", "my.index", "--json", cwd=tmp_path).stdout)
    found = secondpass("search", "ursine", "-i", "my.index", "--no-rerank", cwd=tmp_path)

    assert facts["encoder"]["name"] == "static"
    assert "The giant panda is a bear" in found.stdout


def test_an_encoder_makes_hybrid_the_default(home, bi_encoder, tmp_path):
    def search(*more):
        done = secondpass(
            *("search", "giant bear", "-i", "my.index", "--no-rerank", "-f", "json", *more),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return [hit["first_stage"] for hit in json.loads(done.stdout)["hits"]]

    encoder = bi_encoder()
    (tmp_path / "encoder").symlink_to(encoder)
    done = secondpass(
        "index", home / "docs", "-i", "my.index", "--encoder", "./encoder", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr

    hybrid = search()
    assert hybrid[0]["legs"].keys() == {"lexical", "dense"}
    assert hybrid == search("--first-stage", "hybrid")
    assert [one["legs"] for one in search("--first-stage", "dense")] == [{}] * len(hybrid)
    assert len(search("--first-stage", "lexical")) == 1
    facts = json.loads(secondpass("info", "-i", "my.index", "--json", cwd=tmp_path).stdout)
    assert facts["encoder"]["name"] == str(encoder.resolve())
    assert "numbers a passage" in secondpass("info", "-i", "my.index", cwd=tmp_path).stdout
    again = secondpass("index", home / "docs", "-i", "my.index", cwd=tmp_path)
    assert "2 documents unchanged" in again.stdout


def test_many_queries_take_a_first_stage(home, bi_encoder, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"_id": "q1", "text": "giant bear"}\n')
    secondpass("index", home / "docs", "--encoder", bi_encoder(), cwd=tmp_path)
    lines = {}
    for stage in ("lexical", "dense", "hybrid"):
        done = secondpass(
            *("search", "--queries", "q.jsonl", "--run", "out.run", "--no-rerank"),
            *("--first-stage", stage),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        lines[stage] = len((tmp_path / "out.run").read_text().splitlines())
    assert lines == {"lexical": 1, "dense": 2, "hybrid": 2}


def test_a_first_stage_without_vectors_is_refused(home):
    done = secondpass("search", "x", "-i", "my.index", "--first-stage", "dense", cwd=home)
    assert done.returncode == 1
    assert "the index has no vectors" in done.stderr
    other = secondpass("search", "x", "-i", "my.index", "--first-stage", "bm25", cwd=home)
    assert "unknown first stage 'bm25'" in other.stderr


def test_migrate_copies_an_index_and_says_that_it_is_the_same(home, tmp_path):
    done = secondpass("migrate", home / "my.index", tmp_path / "copy.index", "--json")
    again = secondpass("migrate", home / "my.index", tmp_path / "copy.index")
    wrong = secondpass("migrate", home / "my.index", tmp_path / "x", "--to", "memory")

    outcome = json.loads(done.stdout)
    assert (outcome["documents"], outcome["copied"]) == (2, 2)
    assert "2 documents, 2 of them there already" in again.stdout
    assert again.stdout.rstrip().endswith(outcome["checksum"])
    assert "store 'memory' lasts no longer than its process" in wrong.stderr
    found = secondpass("search", "竹子", "-i", tmp_path / "copy.index", "--no-rerank")
    assert "大熊猫" in found.stdout


def test_thresholds_leave_less_and_say_so(home):
    def search(*more):
        done = secondpass(
            *("search", "panda", "-i", "my.index", "-m", "./model", "-f", "json", *more), cwd=home
        )
        return json.loads(done.stdout)

    first = [hit["first_stage"]["score"] for hit in search()["hits"]]
    none = search("--min-score", max(first) + 1)
    assert (none["hits"], none["candidates"]["below_score"]) == ([], len(first))
    sure = search("--min-probability", "1")
    assert (sure["hits"], sure["candidates"]["below_probability"]) == ([], len(first))


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


def test_a_run_writes_through_links_and_into_devices(home, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"_id": "q1", "text": "panda"}\n')
    (tmp_path / "link.run").symlink_to(tmp_path / "target.run")
    search = ("search", "--queries", tmp_path / "q.jsonl", "-i", "my.index", "--no-rerank", "--run")

    linked = secondpass(*search, tmp_path / "link.run", cwd=home)
    printed = secondpass(*search, "/dev/stdout", cwd=home)
    missing = secondpass(*search, tmp_path / "none" / "x.run", cwd=home)

    assert linked.returncode == printed.returncode == 0
    assert (tmp_path / "link.run").is_symlink()
    assert (tmp_path / "target.run").read_text() == printed.stdout
    assert printed.stdout.startswith("q1 Q0 ")
    assert missing.returncode == 1
    assert "cannot be written" in missing.stderr


def test_one_query_that_cannot_be_asked_does_not_lose_the_rest(home, tmp_path):
    queries = [{"_id": "long", "text": "panda " * 100}, {"_id": "q2", "text": "panda"}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, queries)))

    done = secondpass(
        *("search", "--queries", tmp_path / "q.jsonl", "-i", "my.index", "-m", "./model"),
        *("--run", tmp_path / "out.run"),
        cwd=home,
    )

    assert done.returncode == 1
    assert "query 'long': the query has 100 tokens" in done.stderr
    assert (tmp_path / "out.run").read_text().startswith("q2 Q0 ")


def test_document_ids_of_a_run_have_no_blanks(tmp_path):
    (tmp_path / "a file 文.txt").write_text("panda")
    (tmp_path / "q.jsonl").write_text('{"_id": "q1", "text": "panda"}\n')
    secondpass("index", "a file 文.txt", cwd=tmp_path)

    secondpass("search", "--queries", "q.jsonl", "--no-rerank", "--run", "x.run", cwd=tmp_path)

    (line,) = (tmp_path / "x.run").read_text().splitlines()
    assert len(line.split()) == 6
    assert line.split()[2].endswith("/a%20file%20文.txt")


def test_escape_sequences_of_a_document_do_not_reach_the_terminal(tmp_path):
    (tmp_path / "a.txt").write_text("panda \x1b[2J\x1b]0;title\x07 bear")
    secondpass("index", "a.txt", cwd=tmp_path)

    for form in ("text", "table", "json"):
        done = secondpass("search", "panda", "--no-rerank", "-f", form, cwd=tmp_path)
        assert "bear" in done.stdout
        assert "\x1b" not in done.stdout


def test_an_output_that_cannot_say_everything_says_what_it_can(home):
    done = secondpass(
        *("search", "panda", "-i", "my.index", "--no-rerank"), cwd=home, PYTHONIOENCODING="gbk"
    )

    assert done.returncode == 0
    assert "\\u203a Pandas" in done.stdout


def test_a_full_disk_below_the_output_is_one_line(home):
    command = f"{sys.executable} -c 'from secondpass.cli import main; main()'"
    done = subprocess.run(
        ["bash", "-c", f"{command} search panda -i my.index --no-rerank > /dev/full"],
        capture_output=True, text=True, cwd=home, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr


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
        (["search", "", "-i", "my.index", "--no-rerank"], "the query is ''"),
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
        (["index", "", "-i", "new.index"], "names nothing"),
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


def test_python_runs_the_package_as_a_module():
    command = [sys.executable, "-m", "secondpass", "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("secondpass ")
