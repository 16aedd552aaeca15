"""Sections out of headings: which piece of the text stands under which path of headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.types import Section


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its lines as offsets into the text, its level from 1 on, its plain text."""

    start: int
    end: int
    level: int
    title: str


def sections_under(headings: Sequence[Heading], text: str, start: int = 0) -> tuple[Section, ...]:
    """The sections of `text[start:]`; each begins with its heading's line.

    A heading with nothing but a deeper heading below it gets no section of its own: it goes to the
    section of that deeper one, so that no passage is a lone heading. Without any heading there are
    no sections, save one that leaves out what comes before `start`.
    """
    if not headings:
        return (Section(start, len(text)),) if start else ()
    sections = []
    if text[start : headings[0].start].strip():
        sections.append(Section(start, headings[0].start))
    path: list[Heading] = []
    begin: int | None = None
    for position, heading in enumerate(headings):
        path = [above for above in path if above.level < heading.level] + [heading]
        begin = heading.start if begin is None else begin
        below = headings[position + 1] if position + 1 < len(headings) else None
        end = below.start if below else len(text)
        if below and below.level > heading.level and not text[heading.end : end].strip():
            continue
        titles = tuple(above.title for above in path if above.title)
        sections.append(Section(begin, end, headings=titles))
        begin = None
    return tuple(sections)
