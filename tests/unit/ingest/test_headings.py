from __future__ import annotations

from secondpass.ingest.headings import Heading, sections_under
from secondpass.types import Section


def test_paths_grow_and_shrink_with_the_levels():
    text = "A\na\nB\nb\nC\nc\n"
    headings = [Heading(0, 2, 1, "A"), Heading(4, 6, 3, "B"), Heading(8, 10, 2, "C")]

    sections = sections_under(headings, text)

    assert [section.headings for section in sections] == [("A",), ("A", "B"), ("A", "C")]
    assert [text[section.start : section.end] for section in sections] == [
        "A\na\n",
        "B\nb\n",
        "C\nc\n",
    ]


def test_a_heading_with_only_a_deeper_one_below_goes_with_it():
    text = "A\n\nB\nb"
    headings = [Heading(0, 2, 1, "A"), Heading(3, 5, 2, "B")]

    assert sections_under(headings, text) == (Section(0, 6, headings=("A", "B")),)


def test_an_empty_heading_does_not_swallow_its_neighbour():
    text = "A\nB\nb"
    headings = [Heading(0, 2, 2, "A"), Heading(2, 4, 2, "B")]

    sections = sections_under(headings, text)

    assert [section.headings for section in sections] == [("A",), ("B",)]


def test_text_before_the_first_heading_has_a_section_of_its_own():
    text = "before\nA\na"

    sections = sections_under([Heading(7, 9, 1, "A")], text)

    assert sections == (Section(0, 7), Section(7, 10, headings=("A",)))


def test_without_headings_a_section_only_leaves_out_what_precedes_the_start():
    assert sections_under([], "text") == ()
    assert sections_under([], "front text", 6) == (Section(6, 10),)
