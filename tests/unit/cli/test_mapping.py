"""`secondpass map` as a person meets it."""

from __future__ import annotations

import json
import re

import pytest

from terminal import secondpass


@pytest.fixture(scope="module")
def home(tmp_path_factory, checkpoint):
    home = tmp_path_factory.mktemp("home")
    texts = ["The giant panda eats bamboo.", "Bamboo is a grass.", "</script><b>panda", "大熊猫"]
    lines = [json.dumps({"_id": f"d{at}", "text": text}) for at, text in enumerate(texts)]
    (home / "records.jsonl").write_text("\n".join(lines))
    (home / "model").symlink_to(checkpoint("bert"))
    done = secondpass("index", "records.jsonl", "-i", "my.index", "--encoder", "static", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


def drawn(page: str) -> list[list]:
    (data,) = re.findall(r'id="data">(.*?)</script>', page)
    return json.loads(data)


def draw(home, *options):
    return secondpass("map", "-i", "my.index", "-m", "./model", "--out", *options, cwd=home)


def test_the_query_its_candidates_and_the_answers_are_marked(home, tmp_path):
    out = tmp_path / "map.html"
    done = draw(home, out, "--query", "panda", "--top-k", "1", "--depth", "2")

    assert (done.returncode, done.stdout) == (0, "")
    assert "4 passages drawn" in done.stderr
    rows = drawn(out.read_text(encoding="utf-8"))
    assert sorted(row[2] for row in rows) == ["answer", "candidate", "passage", "passage", "query"]
    assert {row[4] for row in rows} == {"d0", "d1", "d2", "d3", ""}
    assert list(tmp_path.iterdir()) == [out]


def test_a_large_index_is_sampled_and_that_is_said(home, tmp_path):
    out = tmp_path / "map.html"
    done = draw(home, out, "--points", "3")

    assert "1 passages were left out" in done.stderr
    assert len(drawn(out.read_text(encoding="utf-8"))) == 3
    assert "3 of 4 passages" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--projection", "tsne"], "unknown projection 'tsne'; choose from pca, umap"),
        (["--points", "0"], "points=0"),
        (["--query", " "], "the query is"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_the_page_as_it_was(
    options, message, home, tmp_path
):
    out = tmp_path / "map.html"
    out.write_text("before")
    done = draw(home, out, *options)

    assert done.returncode == 1
    assert message in done.stderr
    assert out.read_text() == "before"


def test_an_index_without_vectors_says_what_to_do(home, tmp_path):
    secondpass(
        *("index", home / "records.jsonl", "-i", "plain.index", "--encoder", "none"), cwd=tmp_path
    )
    done = secondpass("map", "-i", "plain.index", "--out", "map.html", cwd=tmp_path)

    assert done.returncode == 1
    assert "the index has no vectors" in done.stderr
    assert not (tmp_path / "map.html").exists()
