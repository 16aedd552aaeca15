"""Texts and queries from files and pipes: what counts as a line, and how mistakes are named."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from secondpass.cli.inputs import STDIN, GivenText, read_queries, read_texts
from secondpass.cli.options import parse_where
from secondpass.errors import InvalidInput
from secondpass.types import Range


def written(folder: Path, content: str | bytes, name: str = "texts.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_of_text_keep_their_numbers(tmp_path, capsys):
    path = written(tmp_path, "\ufeffone\r\n\n  two  \n\u2028three\n")

    assert read_texts(path) == [
        GivenText(0, "one"),
        GivenText(2, "  two  "),
        GivenText(3, "\u2028three"),
    ]
    assert "1 blank line left out" in capsys.readouterr().err


def test_json_lines_are_known_by_their_name_or_first_line(tmp_path):
    objects = '{"_id": 7, "text": "one", "title": "T"}\n"two"\n'

    for name in ("a.jsonl", "a.txt"):
        (one, two) = read_texts(written(tmp_path, objects, name))
        assert (one.id, one.text, one.text_in_context) == ("7", "one", "T\none")
        assert (two.index, two.text, two.id) == (1, "two", None)
    assert read_texts(written(tmp_path, '"quoted"\n')) == [GivenText(0, '"quoted"')]


def test_standard_input_is_read_where_no_file_is_named(monkeypatch):
    class Piped(io.StringIO):
        buffer = io.BytesIO("甲\n乙\n".encode())

    monkeypatch.setattr("sys.stdin", Piped())

    assert [one.text for one in read_texts(STDIN)] == ["甲", "乙"]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("\n \n", "a.txt", "holds no text"),
        ('{"text": "a"}\n{"text"', "a.jsonl", "line 2 is no JSON"),
        ('{"text": "a"}\n{"txt": "b"}', "a.jsonl", "line 2 has no text"),
        ("[1]", "a.jsonl", "line 1 has no text"),
        ("中文".encode("gb18030"), "a.txt", "is not UTF-8"),
    ],
)
def test_mistakes_in_texts_are_named(content, name, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        read_texts(written(tmp_path, content, name))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.txt' cannot be read"):
        read_texts(tmp_path / "none.txt")


def test_queries_have_ids_and_texts(tmp_path):
    path = written(tmp_path, '{"_id": "a", "text": "x?"}\n\n{"id": 2, "text": "y?"}')

    assert read_queries(path) == {"a": "x?", "2": "y?"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no queries"),
        ('{"text": "x"}', "line 1 is no query"),
        ('{"_id": "a", "text": " "}', "line 1 is no query"),
        ('{"_id": "a b", "text": "x"}', "without blanks"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', "line 2 has the id 'a'"),
        ("query", "line 1 is no JSON"),
    ],
)
def test_mistakes_in_queries_are_named(content, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        read_queries(written(tmp_path, content))


def test_conditions_become_a_filter():
    assert parse_where(None) is None
    assert parse_where(["lang=en", "year>=2020", "year<=2024", "tag=a,b", "n=3", "x=true"]) == {
        "lang": "en",
        "year": Range(2020, 2024),
        "tag": ["a", "b"],
        "n": [3, "3"],
        "x": [True, "true"],
    }
    assert parse_where(['n="3"', "t=a=b", 'c="a,b"']) == {"n": "3", "t": "a=b", "c": "a,b"}


@pytest.mark.parametrize(
    "conditions",
    [["lang"], ["=en"], ["a!=b"], ["a==b"], ["a=>1"], ["a=<1"], ["a=1", "a=2"], ["a=1", "a>=2"]],
)
def test_what_is_no_condition_is_refused(conditions):
    with pytest.raises(InvalidInput, match="--where"):
        parse_where(conditions)
