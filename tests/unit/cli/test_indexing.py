"""What `secondpass index` and `delete` do, each in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from terminal import secondpass


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


def test_a_file_that_is_gone_can_be_removed_and_pruned(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a.txt", "b.txt", "c"):
        (docs / name).write_text(f"text of {name}")
    (docs / "r.jsonl").write_text('{"_id": "r1", "text": "one"}\n{"_id": "r2", "text": "two"}\n')
    secondpass("index", "docs", "docs/c", cwd=tmp_path)
    (docs / "a.txt").unlink()
    (docs / "b.txt").unlink()
    (docs / "r.jsonl").write_text('{"_id": "r1", "text": "one"}\n')

    by_path = secondpass("delete", "docs/b.txt", "docs/c", cwd=tmp_path)
    hinted = secondpass("index", "docs", cwd=tmp_path)
    pruned = secondpass("index", "docs", "--prune", "--json", cwd=tmp_path)

    assert by_path.stdout == "2 documents removed\n"
    assert "2 documents gone from these paths; --prune forgets them" in hinted.stderr
    report = json.loads(pruned.stdout)
    assert sorted(Path(one).name for one in report["gone"]) == ["a.txt", "r2"]
    assert report["removed"] == 2
    assert json.loads(secondpass("info", "--json", cwd=tmp_path).stdout)["documents"] == 1


def test_a_narrower_pattern_prunes_nothing_that_is_there(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("a")
    (docs / "b.md").write_text("b")
    secondpass("index", "docs", cwd=tmp_path)

    done = secondpass("index", "docs", "--pattern", "*.md", "--prune", "--json", cwd=tmp_path)

    assert json.loads(done.stdout)["gone"] == []


def test_an_interrupt_keeps_what_was_finished(tmp_path):
    records = tmp_path / "many.jsonl"
    with records.open("w") as file:
        for number in range(60_000):
            text = f"record {number} about pandas " * 10
            file.write(json.dumps({"_id": f"r{number}", "text": text}) + "\n")
    # A shell that runs the tests in the background has them ignore interrupts, and so this too.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from secondpass.cli import main; main()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, "index", "many.jsonl"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "secondpass.index-wal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 2_000_000):
        time.sleep(0.05)

    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)

    assert running.returncode == 130, told
    assert "run the same command again to continue" in told
    assert "Traceback" not in told
    kept = json.loads(secondpass("info", "--json", cwd=tmp_path).stdout)["documents"]
    assert 0 < kept < 60_000
