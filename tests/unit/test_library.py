"""The root's Index: vectors by itself, encoders by name, and what an index has recorded."""

from __future__ import annotations

import shutil

import pytest

import secondpass
from secondpass import Index, Passage
from secondpass.engine import load_encoder
from secondpass.engine.locate import locate
from secondpass.errors import StoreError
from secondpass.retrieval import Index as Collection


def passages(*texts: str) -> list[Passage]:
    return [Passage(id=f"p{at}", text=text, document=f"d{at}") for at, text in enumerate(texts)]


def test_a_new_index_has_the_bundled_encoder_and_finds_it_again(tmp_path):
    with Index.open(tmp_path / "my.index") as index:
        index.add(passages("Refunds take ten days.", "大熊猫吃竹子。"))

    with secondpass.Index.open(tmp_path / "my.index", create=False) as index:
        record = index.info().encoder
        (best, *_) = index.retriever().retrieve("When do I get my money back?", 2)

    assert (record.name, record.fingerprint) == ("static", load_encoder("static").fingerprint)
    assert best.passage.id == "p0"  # without a word in common
    assert set(best.legs) == {"dense"}


def test_none_keeps_an_index_without_vectors(tmp_path):
    with Index.open(tmp_path / "my.index", encoder="none") as index:
        index.add(passages("a panda"))
        assert index.info().encoder is None

    with Index.open(tmp_path / "my.index") as index:  # what has passages keeps to what it is
        index.add(passages("a panda", "a bear"))
        assert index.info().encoder is None
        assert [one.passage.id for one in index.retriever().retrieve("panda", 5)] == ["p0"]


def test_an_encoder_by_name_or_by_itself(tmp_path, monkeypatch):
    named = []

    def finds(name: str):
        named.append(name)
        return load_encoder("static")

    with Index.open(tmp_path / "a.index", encoder="ours", load_encoder=finds) as index:
        index.add(passages("a panda"))
        assert index.info().encoder.name == "ours"
    with Index.open(tmp_path / "b.index", encoder=load_encoder("static")) as index:
        index.add(passages("a panda"))
        assert index.info().encoder.name == "static"

    assert named == ["ours"]


def test_an_encoder_s_folder_is_found_from_any_folder(tmp_path, monkeypatch):
    shutil.copytree(locate("static"), tmp_path / "ours")
    monkeypatch.chdir(tmp_path)
    with Index.open("my.index", encoder="ours") as index:
        index.add(passages("a panda"))

    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    with Index.open("../my.index") as index:
        assert index.info().encoder.name == str(tmp_path / "ours")
        assert index.retriever(first_stage="dense").retrieve("panda", 1)[0].passage.id == "p0"


def test_a_file_that_is_no_index_stays_closed(tmp_path):
    (tmp_path / "notes.txt").write_text("no index\n" * 100)

    with pytest.raises(StoreError, match=r"notes\.txt"):
        Index.open(tmp_path / "notes.txt")


def test_it_is_the_index_of_retrieval(tmp_path):
    with Index.open(tmp_path / "my.index") as index:
        assert isinstance(index, Collection)
        assert index.retriever().retrieve("anything", 3) == []
