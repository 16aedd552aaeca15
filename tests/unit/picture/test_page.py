"""The page holds what it was given, as text, and nothing of it as markup."""

from __future__ import annotations

import html.parser
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InvalidInput
from secondpass.picture import Mark, Picture, Point, page

EVIL = "</script><script>alert(1)</script><!-- {{data}} {{title}} &lt; \u2028 \ud800 ' \" `${1}`"


class Reader(html.parser.HTMLParser):
    """What a browser would see: elements, the data, and the title."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.texts, self.addresses = [], {}, []
        self.open = (None, None)
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.open = (tag, dict(attrs).get("id"))

    def handle_data(self, data):
        self.texts[self.open] = self.texts.get(self.open, "") + data


def read(points, title="t", facts="f"):
    return Reader(page(Picture(title, facts, points)))


def test_the_points_are_there_with_all_that_they_show():
    point = Point(1.23456789, -2e-9, Mark.answer, "one\n two", "file › part", 3, 0.123456)
    reader = read([point, Point(0, 0, Mark.query, "熊")])

    rows = json.loads(reader.texts["script", "data"])
    assert rows == [
        [1.2346, -2e-9, "answer", "one two", "file › part", 3, 0.1235],
        [0, 0, "query", "熊", "", None, None],
    ]


@given(text=st.one_of(st.text(), st.sampled_from([EVIL, "{{data}}", "<!--<script>"])))
def test_no_text_becomes_markup(text):
    plain = read([Point(0, 0, Mark.passage, "x", "y")])
    reader = read([Point(0, 0, Mark.passage, text, text)], text, text)

    assert reader.elements == plain.elements
    (row,) = json.loads(reader.texts["script", "data"])
    kept = text.encode("utf-8", "replace").decode()
    assert row[4] == kept
    assert row[3].startswith(" ".join(kept.split())[:400])


def test_the_page_reaches_for_nothing():
    content = page(Picture("t", "f", [Point(0, 0, Mark.passage, "x")]))
    reader = Reader(content)

    assert reader.addresses == []
    assert not re.search(r"https?:|url\(|import|fetch|innerHTML|@import", content)
    assert "default-src 'none'" in content


def test_a_long_text_is_cut_and_the_cut_is_shown():
    (row,) = json.loads(read([Point(0, 0, Mark.passage, "x" * 500)]).texts["script", "data"])

    assert row[3] == "x" * 400 + "…"


@pytest.mark.parametrize(
    "points",
    [[], [Point(float("nan"), 0, Mark.passage, "x")], [Point(0, float("inf"), Mark.query, "x")]],
)
def test_what_cannot_be_drawn_is_refused(points):
    with pytest.raises(InvalidInput):
        page(Picture("t", "f", points))
