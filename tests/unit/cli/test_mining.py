"""`secondpass mine` as a person meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from secondpass.training import read_lists
from terminal import secondpass

ANIMALS = {"panda": "bamboo", "koala": "leaves", "otter": "fish", "camel": "grass"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """An index of eight records, and pairs to mine for."""
    home = tmp_path_factory.mktemp("home")
    texts = [f"The {animal} eats {food} all day." for animal, food in ANIMALS.items()]
    texts += [f"Do not feed the {animal} in the zoo." for animal in ANIMALS]
    records = [json.dumps({"_id": f"d{at}", "text": text}) for at, text in enumerate(texts)]
    pairs = [
        json.dumps({"query": f"what does a {animal} eat", "positive": text})
        for animal, text in zip(ANIMALS, texts, strict=False)
    ]
    (home / "records.jsonl").write_text("\n".join(records))
    (home / "pairs.jsonl").write_text("\n".join([*pairs, '{"query": " ", "positive": "a"}']))
    for name, encoder in (("my.index", "static"), ("plain.index", "none")):
        done = secondpass("index", "records.jsonl", "-i", name, "--encoder", encoder, cwd=home)
        assert done.returncode == 0, done.stderr
    return home


def mine(home, out, *options, index="my.index"):
    return secondpass(
        "mine", "--pairs", "pairs.jsonl", "-i", index, "--out", out, *options, cwd=home
    )


def test_the_lists_are_written_and_what_was_refused_is_told(home, tmp_path):
    out = tmp_path / "mined.jsonl.gz"
    done = mine(home, out, "--negatives", "2", "--random", "1", "--margin=-9")

    assert done.returncode == 0, done.stderr
    lists = list(read_lists(out))
    assert [one.labels for one in lists] == [(1, 0, 0, 0)] * 4
    assert f"{out} holds 4 lists: 8 negatives and 4 random passages\n" in done.stdout
    # A random passage may be the right one too.
    assert re.search(r"refused: [4-9] right, 0 of a right text's document, 0 above", done.stdout)
    assert "secondpass: lines without a query, left out: 1" in done.stderr
    assert list(tmp_path.iterdir()) == [out]


def test_the_report_as_json_says_the_same(home, tmp_path):
    done = mine(home, tmp_path / "a", "--json", "--same-document", "keep", "--ranks", "2-8")

    report = json.loads(done.stdout)
    assert report["lists"] == 4
    assert report["dropped"] == {"blank_query": 1, "blank_right": 0, "no_negative": 0}
    assert report["rights"] == {"passage": 4, "part": 0, "absent": 0}
    assert report["legs"] == ["lexical", "dense"]
    assert report["teacher"] == "mixture"


def test_a_seed_decides_and_a_model_judges(home, tmp_path):
    options = ["--negatives", "1", "--random", "1", "--teacher", "mini", "--margin=-99"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = mine(home, tmp_path / name, *options, "--seed", seed, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["teacher"] == "model"

    same, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert same == again != other


def test_words_alone_and_texts_that_are_nowhere_are_said(home, tmp_path):
    (home / "more.tsv").write_text("what does a panda eat\tNobody wrote this down so far.\n")
    done = mine(home, tmp_path / "a", "--pairs", "more.tsv", index="plain.index")

    assert done.returncode == 0, done.stderr
    assert "no vectors: negatives were found by words alone" in done.stderr
    assert "right texts that the index does not hold: 1 of 1" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ranks", "10"], "--ranks '10'; expected the first and the last"),
        (["--ranks", "9-3"], "ranks 9-3; expected two whole numbers from 1"),
        (["--same-document", "no"], "--same-document 'no'; expected drop or keep"),
        (["--near-duplicates", "2"], "near-duplicates at 2.0; expected a share"),
        (["--pairs", "absent.jsonl"], "'absent.jsonl' cannot be read"),
        (["-i", "absent.index"], "there is no index at"),
        (["--teacher", "./absent"], "absent"),
        (["--negatives", "0", "--random", "0"], "expected 1 or more in all"),
        (["--random", "0", "--margin", "99"], "none of 4 queries has a negative"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(options, message, home, tmp_path):
    done = mine(home, tmp_path / "mined.jsonl", *options)

    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_by_force(home, tmp_path):
    out = tmp_path / "mined.jsonl"
    out.write_text("before")

    refused = mine(home, out)
    before = out.read_text()
    forced = mine(home, out, "--force")

    assert (refused.returncode, before) == (1, "before")
    assert "is there already" in refused.stderr
    assert forced.returncode == 0
    assert len(list(read_lists(out))) == 4
