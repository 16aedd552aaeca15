"""Where a text may be cut: spans that end at a sentence, a line, a clause or, at last, a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from secondpass.ingest.characters import CLOSING, FINAL_ANYWHERE, HANGUL, IDEOGRAPHS

# How good a place to cut is, from worst to best.
WORD, CLAUSE, LINE, SENTENCE, PARAGRAPH, SECTION = range(6)

Span = tuple[int, int]
Piece = tuple[int, int, int]  # start, end, and how good its end is as a place to cut

_TITLES = "Mr Dr Ms St vs cf No pp Mrs Fig Sec Eq Ch Vol Inc Ltd Prof approx".split()
_NO_END = "".join(rf"(?<!\b{title}\.)" for title in _TITLES)
# The pattern begins with a character set, which the regex engine looks for fast, and no part of it
# can be entered anew within a run, so that a run of a million dots costs a million steps.
_END = re.compile(
    rf"""
    [.!?{FINAL_ANYWHERE}\n]
    (?:
        (?: (?<=[.!?]) (?<![.!?][.!?]) (?<!\b[^\W\d_]\.) {_NO_END}
            [.!?]*+ [{CLOSING}]*+ (?:\[\d{{1,3}}\])*+ (?=\s|\Z) (?!\s++[a-z])
          | (?<=[{FINAL_ANYWHERE}]) [.!?{FINAL_ANYWHERE}]*+ [{CLOSING}]*+
          | (?<=[{IDEOGRAPHS}][.!?]) [.!?]*+ [{CLOSING}]*+ (?=\s|\Z|[{IDEOGRAPHS}])
        ) (?P<gap>\s*+)
      | (?<=\n) [ \t\r\u3000]*+ \n \s*+
    )
    """,
    re.VERBOSE,
)
_LINE_END = re.compile(r"[\n\r\f\u2028\u2029]")
_CLAUSE_END = re.compile(r"[，、：；]|[,;:](?=\s)|—+")
# Extracted texts often lack the space between sentences; so do names in code, hence only here.
_RUN_TOGETHER = re.compile(r"[.!?](?<=[a-z)\]][.!?])(?=[A-Z])")
_FINER = ((LINE, _LINE_END), (SENTENCE, _RUN_TOGETHER), (CLAUSE, _CLAUSE_END))
_BREAKABLE = re.compile(rf"[\s{IDEOGRAPHS}{HANGUL}]")
_FINAL_ANYWHERE = frozenset(FINAL_ANYWHERE)
_ENUMERATOR = 8
_LONGEST_CLUSTER = 8
_JOINER = "\u200d"


def trim(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends; empty where it holds nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def sentences(text: str, start: int, end: int) -> Iterator[Piece]:
    """The sentences of a trimmed span, in order; only white space is between them.

    The span's end is taken for a place that should be cut at: the end of a section.
    """
    for found in _END.finditer(text, start, end):
        gap = found.start("gap")
        if gap < 0:
            strength = PARAGRAPH
            gap = trim(text, start, found.start())[1]
        elif _is_enumerator(text, start, found.start()):
            continue
        else:
            strength = SECTION if found.end() == end else _strength(text, gap, found.end())
        if start < gap:
            yield start, gap, strength
        start = found.end()
    if start < end:
        yield start, end, SECTION


def _is_enumerator(text: str, start: int, dot: int) -> bool:
    """Whether the dot belongs to the number of a list's item."""
    if text[dot] != "." or dot == start or not text[dot - 1].isdigit():
        return False
    line = max(text.rfind("\n", start, dot) + 1, start)
    return dot - line <= _ENUMERATOR and text[line:dot].strip().isdigit()


def _strength(text: str, gap: int, end: int) -> int:
    line_ends = text.count("\n", gap, end)
    # Chinese writes a paragraph as a line; a line end after an English sentence may be a wrap.
    chinese = line_ends and not _FINAL_ANYWHERE.isdisjoint(text[gap - 2 : gap])
    return PARAGRAPH if line_ends > 1 or chinese else SENTENCE


def finer(text: str, piece: Piece, level: int) -> Iterator[Piece]:
    """The parts of a piece, trimmed: lines at level 0, then ever finer; blank ones are left out."""
    start, end, strength = piece
    weaker, pattern = _FINER[level]
    begin = start
    for found in pattern.finditer(text, start, end):
        if found.end() < end:
            first, last = trim(text, begin, found.end())
            if first < last:
                yield first, last, weaker
            begin = found.end()
    first, last = trim(text, begin, end)
    if first < last:
        yield first, last, strength


LEVELS = len(_FINER)


def last_break(text: str, start: int, end: int) -> int:
    """The best place to cut at `end` or before it, after `start`: between words if there is one.

    Never within a character that is written as several, unless it is absurdly long.
    """
    place = end
    while place > start and not between_words(text, place):
        place -= 1
    if place > start:
        return place
    place = end
    while place > start and _within_character(text, place):
        place -= 1
    if place > start:
        return place
    place = end + 1
    while place < min(len(text), start + _LONGEST_CLUSTER) and _within_character(text, place):
        place += 1
    return place


def between_words(text: str, place: int) -> bool:
    """Whether a cut here leaves words whole; of ideographs each is a word."""
    if place == len(text):
        return True
    around = _BREAKABLE.match(text, place) or _BREAKABLE.match(text, place - 1)
    return around is not None and not _within_character(text, place)


def _within_character(text: str, place: int) -> bool:
    if place == len(text):
        return False
    after = text[place]
    return (
        after == _JOINER
        or text[place - 1] == _JOINER
        or unicodedata.category(after)[0] == "M"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )
