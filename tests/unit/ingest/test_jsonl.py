from __future__ import annotations

import json

import pytest

from secondpass.ingest.jsonl import load_jsonl
from secondpass.ingest.outcome import Failure, Skip
from secondpass.types import Document


def load_lines(tmp_path, *lines):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    )
    return path.as_posix(), list(load_jsonl(path))


def test_a_line_is_a_document_and_scalars_are_metadata(tmp_path):
    record = {"_id": "d1", "title": "T", "text": "body", "year": 2024, "score": 0.5, "new": True}

    path, found = load_lines(tmp_path, json.dumps({**record, "gone": None}))

    metadata = {"year": 2024, "score": 0.5, "new": True}
    assert found == [Document("d1", "body", "T", path, metadata=metadata)]


def test_ids_come_from_either_field_or_the_line(tmp_path):
    path, found = load_lines(
        tmp_path,
        '{"id": 7, "text": "a"}',
        "",
        '{"text": "b"}',
        '{"_id": "x", "id": "y", "text": "c"}',
    )

    assert [document.id for document in found] == ["7", f"{path}:3", "x"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 1', "not JSON"),
        ("[1]", "expected an object, got list"),
        ('{"id": "a", "title": "t"}', "field 'text' is missing"),
        ('{"text": 5}', "field 'text' is of type int"),
        ('{"text": "a", "title": 5}', "field 'title' is of type int"),
        ('{"text": "a", "id": [1]}', "field 'id' is"),
        ('{"text": "a", "id": true}', "field 'id' is"),
        ('{"text": "a", "weight": NaN}', "NaN is no JSON number"),
        ('{"text": "\\ud800"}', "half a surrogate pair"),
        (b'{"text": "\xff"}', "not UTF-8"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_broken_line_names_file_and_line_and_the_rest_is_read(tmp_path, line, reason):
    path, found = load_lines(tmp_path, '{"id": "a", "text": "a"}', line, '{"id": "c", "text": "c"}')

    first, failure, last = found
    assert (first.id, last.id) == ("a", "c")
    assert isinstance(failure, Failure)
    assert failure.path == f"{path}:2"
    assert reason in failure.reason


def test_nested_fields_are_said_once_and_metadata_is_opened(tmp_path):
    line = '{"id": "a", "text": "a", "tags": ["x"], "metadata": {"url": "u", "deep": {}}}'

    path, found = load_lines(tmp_path, line, line)

    skips = [one for one in found if isinstance(one, Skip)]
    documents = [one for one in found if isinstance(one, Document)]
    assert [one.path for one in skips] == [f"{path}:1", f"{path}:1"]
    assert "'deep'" in skips[0].reason
    assert "'tags'" in skips[1].reason
    assert [document.metadata for document in documents] == [{"url": "u"}, {"url": "u"}]


def test_a_blank_text_is_a_skip(tmp_path):
    path, found = load_lines(tmp_path, '{"id": "a", "title": "t", "text": " "}')

    assert found == [Skip(f"{path}:1", "its text is blank", "a")]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    _, found = load_lines(
        tmp_path, b'\xef\xbb\xbf{"id": "a", "text": "a"}\r', '{"id": "b", "text": "b"}'
    )

    assert [document.id for document in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [("99999999999999999999", "at most 64 bits"), ("1e999", "too large"), ('"a\\u0000b"', "NUL")],
)
def test_metadata_that_no_index_can_keep_is_a_failure_of_its_line(value, message, tmp_path):
    lines = '{"id": "a", "text": "x", "n": ' + value + '}\n{"id": "b", "text": "y"}'
    _, (failure, document) = load_lines(tmp_path, lines)

    assert failure.path.endswith(":1")
    assert message in failure.reason
    assert document.id == "b"
