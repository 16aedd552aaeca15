"""Pairs: several lines of one query are one query, and what is blank is counted."""

from __future__ import annotations

import gzip

import pytest

from secondpass.errors import InvalidInput
from secondpass.training import Pairs, Question, read_pairs


def test_lines_of_one_query_are_one_question(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"query": "What is a panda? ", "positive": "A bear.", "source": "x"}\n'
        "\n"
        '{"query": "大熊猫？", "positive": ["熊", "一种熊科动物"]}\n'
        '{"query": "WHAT is a panda?", "positive": ["An animal.", "A bear."]}\n',
        encoding="utf-8",
    )

    assert read_pairs(path) == Pairs(
        (
            Question("What is a panda?", ("A bear.", "An animal.")),
            Question("大熊猫？", ("熊", "一种熊科动物")),
        ),
        lines=5,
    )


def test_tabs_and_gzip(tmp_path):
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(gzip.compress("a query\ta text\r\n熊\t竹子\n".encode("utf-8-sig")))

    questions = (Question("a query", ("a text",)), Question("熊", ("竹子",)))
    assert read_pairs(path) == Pairs(questions, lines=2)


def test_what_is_blank_is_counted():
    pairs = Pairs.of([(" ", "a"), ("q", " "), ("r", ""), ("r", "b"), ("", "")])

    assert pairs == Pairs((Question("r", ("b",)),), lines=5, blank_queries=2, blank_rights=1)


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("a.jsonl", '{"query": "q"}', r"line 1 has no \"positive\""),
        ("a.jsonl", '{"query": 1, "positive": "a"}', r"line 1 has no \"query\""),
        ("a.jsonl", '{"query": "q", "positive": ["a", 2]}', r"line 1 has no \"positive\""),
        ("a.tsv", "q\ta\nq\ta\tb", "line 2 has 3 columns; expected two"),
        ("a.jsonl", "\n", "no query with a right text in 0 lines"),
        ("a.jsonl", '{"query": "q", "positive": []}', "no query with a right text in 1 lines"),
    ],
)
def test_what_is_no_pair_is_named(tmp_path, name, content, wrong):
    (tmp_path / name).write_text(content)

    with pytest.raises(InvalidInput, match=wrong):
        read_pairs(tmp_path / name)
