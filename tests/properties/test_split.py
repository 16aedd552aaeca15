"""Splitting loses nothing, keeps offsets true and the size, whatever the text."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from secondpass.ingest import Splitting, split, unwrap
from secondpass.ingest.packing import estimate_tokens
from secondpass.ingest.split import STRATEGIES
from secondpass.types import Document, Section

WRAPPED = "一二三四五六七八九十甲乙丙丁戊己庚辛壬癸"
FRAGMENTS = [
    *("word ", "Sentence one. ", "What? ", "e.g. ", "5.2% ", "U.S. ", "x" * 40, ", ", "- item\n"),
    *("\n", "\n\n", " \n \n", "\r\n", "\r\n\r\n", "\t", "  ", "\u3000\u3000", "\x0c", "\u2028"),
    *("中文", "句子。", "“好！”", "；", "、", WRAPPED, WRAPPED + "\n", WRAPPED + "\r\n", "한국어 "),
    *("...", '."', ")", "1. ", "# H\n", "```\n", "e\u0301", "\U0001f468\u200d\U0001f469", "\ud7ff"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=80).map("".join)


@st.composite
def documents(draw):
    text = draw(TEXTS)
    places = st.integers(0, len(text))
    bounds = sorted(draw(st.lists(places, max_size=6)))
    labels = st.tuples(st.none() | st.integers(1, 9), st.sampled_from([(), ("A",), ("A", "B")]))
    sections = tuple(
        Section(start, end, *draw(labels)) for start, end in pairwise(bounds) if draw(st.booleans())
    )
    return Document("d", text, "title", "/path", sections, {"k": 1})


@st.composite
def splittings(draw):
    size = draw(st.integers(8, 60))
    return Splitting(
        by=draw(st.sampled_from(sorted(STRATEGIES))),
        size=size,
        overlap=draw(st.integers(0, size - 1)),
        unit=draw(st.sampled_from(["tokens", "chars"])),
        separator=draw(st.sampled_from(["\n\n", "。", " ", "word"])),
        keep_whole=draw(st.sampled_from([None, 0, 20])),
    )


@given(documents(), splittings())
def test_text_is_the_span_without_soft_wraps_and_without_outer_space(document, splitting):
    for passage in split([document], splitting):
        assert passage.text
        assert passage.text == passage.text.strip()
        assert passage.text == unwrap(document.text, passage.start, passage.end)
        span = document.text[passage.start : passage.end]
        assert span == span.strip()


@given(documents(), splittings())
def test_passages_are_in_order_and_numbered(document, splitting):
    passages = list(split([document], splitting))

    assert [passage.id for passage in passages] == [f"d#{n}" for n in range(len(passages))]
    for before, after in pairwise(passages):
        assert before.start < after.start
        assert before.end < after.end
        assert splitting.overlap or before.end <= after.start


@given(documents(), splittings())
def test_every_visible_character_of_the_sections_is_covered(document, splitting):
    covered = set()
    for passage in split([document], splitting):
        covered.update(range(passage.start, passage.end))

    expected = set()
    for section in document.sections or (Section(0, len(document.text)),):
        expected.update(range(section.start, section.end))
    if splitting.by == "separator":
        for found in re.finditer(re.escape(splitting.separator), document.text):
            expected -= set(range(*found.span()))
    missing = {place for place in expected - covered if not document.text[place].isspace()}
    assert not missing


@given(documents(), splittings())
def test_the_size_is_kept(document, splitting):
    count = len if splitting.unit == "chars" else estimate_tokens
    whole = splitting.by == "auto" and not any(
        section.headings or section.page is not None for section in document.sections
    )
    limit = max(splitting.size, splitting.whole_limit) if whole else splitting.size

    assert all(count(passage.text) <= limit for passage in split([document], splitting))


@given(documents(), splittings())
def test_section_and_document_facts_are_carried_over(document, splitting):
    for passage in split([document], splitting):
        facts = (passage.document, passage.title, passage.path, passage.metadata)
        assert facts == ("d", "title", "/path", {"k": 1})
        holding = [
            (section.page, section.headings)
            for section in document.sections or (Section(0, len(document.text)),)
            if section.start <= passage.start < section.end
        ]
        assert holding == [(passage.page, passage.headings)]


@given(documents(), splittings())
def test_splitting_again_gives_the_same(document, splitting):
    assert list(split([document], splitting)) == list(split([document], splitting))


@given(documents(), splittings(), st.sampled_from([r"\S", r"\w+|\S", r"\S+", r"\s+|\w{1,3}"]))
def test_any_tokens_come_to_an_end_and_lose_nothing(document, splitting, pattern):
    def tokens(text):
        return [found.span() for found in re.finditer(pattern, text)]

    covered = set()
    for passage in split([document], splitting, tokens):
        covered.update(range(passage.start, passage.end))

    if splitting.by != "separator" and not document.sections:
        assert all(place in covered or c.isspace() for place, c in enumerate(document.text))
