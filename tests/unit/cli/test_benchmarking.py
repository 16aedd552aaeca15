"""`secondpass bench`, as a person runs it, on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from secondpass.cli.benchmarking import own_engines, peers, print_report
from secondpass.errors import InvalidInput, UnknownName
from secondpass.evaluation.peers.table import PEERS


def bench(folder, *arguments):
    command = [sys.executable, "-c", "from secondpass.cli import main; main()", "bench"]
    shared = ["--model", folder, "--rounds", 1, "--texts", 3, "--threads", 1]
    return subprocess.run(
        [*command, *map(str, [*shared, *arguments])],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb"},
    )


def test_bench_prints_a_table_and_writes_json_and_a_chart(checkpoint, tmp_path):
    out, chart = tmp_path / "speed.json", tmp_path / "speed.svg"
    done = bench(
        checkpoint("bert"), "--precision", "fp32", "--vs", "kjarni", "--json", out, "--plot", chart
    )

    assert done.returncode == 0, done.stderr
    assert "secondpass-fp32" in done.stdout
    found = json.loads(out.read_text())
    assert found["workload"]["texts"] == 3
    assert found["rounds"] == 1
    named = {one["engine"] for one in found["engines"]} | set(found["refused"])
    assert named == {"secondpass-fp32", "kjarni"}
    assert all(f"not measured: {name}" in done.stderr for name in found["refused"])
    assert chart.read_text().startswith("<svg")


def test_bench_takes_texts_of_ones_own(checkpoint, tmp_path):
    passages, out = tmp_path / "passages.txt", tmp_path / "speed.json"
    passages.write_text("pandas eat bamboo\nParis is in France\n")
    done = bench(
        checkpoint("bert"), "--precision", "fp32", "--query", "why?", "--passages", passages,
        "--json", out,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["workload"]["texts"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vs", "torchrank"], "unknown engine 'torchrank'"),
        (["--precision", "int4"], "unknown precision 'int4'"),
        (["--plot", "speed.gif"], "expected .svg or .html"),
        (["--query", "why?"], "--query and --passages belong together"),
    ],
)
def test_what_cannot_be_done_is_one_line(checkpoint, arguments, message):
    done = bench(checkpoint("bert"), *arguments)

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_names_are_taken_once():
    assert own_engines("int8, fp32,int8") == ["secondpass-int8", "secondpass-fp32"]
    assert peers("kjarni,kjarni", None) == ["kjarni"]
    with pytest.raises(InvalidInput, match="names none"):
        own_engines(",")
    with pytest.raises(UnknownName):
        peers("x", None)


def test_all_installed_counts_environments(tmp_path):
    (tmp_path / "kjarni").mkdir()

    assert "kjarni" in peers("all-installed", tmp_path)


def test_the_table_fits_into_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    line = {
        "median_ms": 12345.6, "min_ms": 12345.6, "p95_ms": 12345.6, "texts_s": 123.4,
        "ratio": 12.34, "resident_mb": 4321.0, "correlation": -0.1234, "largest_difference": 12.345,
        "policy": "fp32", "remark": None, "share_of_bound": 0.5,
    }  # fmt: skip
    other = {**line, "engine": "kjarni", "ratio": None, "remark": "no ratio: correlation 0.52"}
    print_report({
        "engines": [*({**line, "engine": name} for name in PEERS), other],
        "refused": {},
        "workload": {"texts": 100, "mean_tokens": 148.3},
        "model": {"name": "mini", "layers": 12, "hidden": 384},
        "threads": 2,
    })  # fmt: skip

    lines = capsys.readouterr().out.splitlines()
    heading = next(one for one in lines if "texts/s" in one)
    assert heading.split() == [
        "engine", "ms", "min", "p95", "texts/s", "ratio", "MB", "corr.", "diff.",
    ]  # fmt: skip
    assert all(len(one) <= 80 for one in lines)
    assert "…" not in "".join(lines)
    assert any(one.split() == [
        "sentence-transformers-openvino", "12346", "12346", "12346", "123", "12.34", "4321",
        "-0.123", "12.3",
    ] for one in lines)  # fmt: skip
    assert "kjarni: fp32; 50% of the processor's peak; no ratio: correlation 0.52" in lines
