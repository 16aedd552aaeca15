"""Training lists: what is read, what is refused, and that a file appears whole or not at all."""

from __future__ import annotations

import gzip
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput
from secondpass.training import TrainingList, read_lists, write_lists

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def training_lists(draw):
    texts = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    one_each = {"min_size": len(texts), "max_size": len(texts)}
    labels = draw(st.lists(st.floats(0, 1), **one_each))
    scores = draw(st.none() | st.lists(NUMBER, **one_each))
    return TrainingList(
        draw(TEXT), tuple(texts), tuple(labels), None if scores is None else tuple(scores)
    )


@given(lists=st.lists(training_lists(), max_size=4), ending=st.sampled_from(["jsonl", "jsonl.gz"]))
def test_what_was_written_is_read_again(tmp_path_factory, lists, ending):
    path = tmp_path_factory.mktemp("lists") / f"lists.{ending}"

    assert write_lists(path, lists) == len(lists)
    assert list(read_lists(path)) == lists


def written(tmp_path, *lines: object):
    path = tmp_path / "lists.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


RIGHT = TrainingList("q", ("a", "b", "c"), (1, 0, 0))
SCORED = TrainingList("q", ("a", "b", "c"), (1, 0, 0), (3, 1, -1))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"query": "q", "texts": ["a", "b", "c"], "labels": [1, 0, 0]}, RIGHT),
        ({"query": "q", "positive": "a", "negatives": ["b", "c"], "source": "x"}, RIGHT),
        ({"query": "q", "positive": ["a"], "negatives": ["b", "c"]}, RIGHT),
        ({"query": "q", "pos": ["a"], "neg": ["b", "c"], "pos_scores": None}, RIGHT),
        ({"anchor": "q", "positive": "a", "negative": ["b", "c"]}, RIGHT),
        (
            {"query": "q", "texts": ["a", "b", "c"], "labels": [1, 0, 0], "scores": [3, 1, -1]},
            SCORED,
        ),
        (
            {
                "query": "q",
                "pos": ["a"],
                "neg": ["b", "c"],
                "pos_scores": [3],
                "neg_scores": [1, -1],
            },
            SCORED,
        ),
        ({"query": "q", "positive": "a"}, TrainingList("q", ("a",), (1,))),
    ],
)
def test_the_forms_of_other_tools_are_read(tmp_path, record, expected):
    assert list(read_lists(written(tmp_path, record))) == [expected]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "is no JSON"),
        ("[1]", "is list"),
        ({"texts": ["a"], "labels": [1]}, "has no query"),
        ('{"query": "\\ud800", "positive": "a"}', "has no query"),
        ({"query": "q"}, 'has no "positive"'),
        ({"query": "q", "texts": ["a"], "labels": [1, 0]}, '"texts" and "labels" do not fit'),
        ({"query": "q", "texts": ["a", 1], "labels": [1, 0]}, '"texts" and "labels" do not fit'),
        ('{"query": "q", "texts": ["a"], "labels": [NaN]}', "NaN"),
        ({"query": "q", "texts": ["a"], "labels": [2]}, "numbers from 0, wrong, to 1, right"),
        (
            {"query": "q", "texts": ["a"], "labels": [1], "scores": ["x"]},
            '"scores" that do not fit',
        ),
        ({"query": "q", "positive": "a", "negatives": 5}, '"negatives" that are no texts'),
        ({"query": "q", "pos": "a", "neg": "b", "neg_scores": [1]}, "a part of its texts"),
    ],
)
def test_a_line_that_is_no_list_is_named(tmp_path, line, wrong):
    path = written(tmp_path, {"query": "q", "positive": "a"}, "", line)

    with pytest.raises(InvalidInput, match=r"lists\.jsonl' line 3") as caught:
        list(read_lists(path))
    assert wrong in str(caught.value)
    assert "expected" in str(caught.value)


def test_what_is_blank_or_repeated_is_left_out_and_said(tmp_path, caplog):
    path = written(
        tmp_path,
        {"query": "q", "positive": "a", "negatives": ["b", "a", " ", "b"]},
        {"query": " ", "positive": "a", "negatives": ["b"]},
        {"query": "q", "positive": ["", "\t"]},
        {"query": "q", "texts": ["b", "a", "b"], "labels": [0, 0.5, 1], "scores": [1, 2, 3]},
    )

    with caplog.at_level(logging.WARNING):
        found = list(read_lists(path))

    assert found == [
        TrainingList("q", ("a", "b"), (1, 0)),
        TrainingList("q", ("b", "a"), (1, 0.5), (3, 2)),  # of equal texts the right one stays
    ]
    said = [record.getMessage().partition("': ")[2] for record in caplog.records]
    assert said == [
        "blank texts left out: 3",
        "repeated texts left out: 3",
        "lists without a query or a text left out: 2",
    ]


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("lists.jsonl", b"\xff\xfe", "is not UTF-8"),
        ("lists.jsonl.gz", b"no gzip", "is damaged"),
        (
            "lists.jsonl.gz",
            gzip.compress(b'{"query": "q", "positive": "a"}', mtime=0)[:-9],
            "is damaged",
        ),
        ("lists.jsonl", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, wrong):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidInput, match=wrong):
        list(read_lists(tmp_path / name))


@pytest.mark.parametrize("error", [KeyboardInterrupt, InvalidInput])
@pytest.mark.parametrize("name", ["lists.jsonl", "lists.jsonl.gz"])
def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path, name, error):
    path = tmp_path / name
    path.write_bytes(b"before")

    def lists():
        yield TrainingList("q", ("a",), (1,))
        raise error("broken off")

    with pytest.raises(error):
        write_lists(path, lists())
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"before"


def test_equal_lists_make_equal_files_and_links_stay(tmp_path):
    (tmp_path / "link.jsonl.gz").symlink_to(tmp_path / "there.jsonl.gz")

    for name in ("one.jsonl.gz", "link.jsonl.gz"):
        write_lists(tmp_path / name, [RIGHT, SCORED])

    assert (tmp_path / "link.jsonl.gz").is_symlink()
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "there.jsonl.gz").read_bytes()


def test_a_place_where_nothing_can_be_written_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(InvalidInput, match="expected a"):
            write_lists(path, [RIGHT])


@pytest.mark.parametrize(
    "values",
    [
        (" ", ("a",), (1,)),
        ("q", (), ()),
        ("q", ("a",), (1, 0)),
        ("q", ("a",), (1,), (1, 2)),
        ("q", ("a",), (float("nan"),)),
        ("q", ("a",), (1,), (float("inf"),)),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(values):
    with pytest.raises(InvalidInput, match="expected"):
        TrainingList(*values)
