"""Where a source broke lines of Chinese or Japanese at a fixed width, and the text without it.

Such a line end stands inside a sentence, often inside a word. Korean is left alone: it has spaces
between words, and whether a line end stands for one cannot be told.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from secondpass.ingest.characters import CLOSING, FINAL_ANYWHERE, FULL_WIDTH, HANGUL, IDEOGRAPHS

_IDEOGRAPH = re.compile(f"[{IDEOGRAPHS}]")
_JOINABLE = re.compile(f"[{IDEOGRAPHS}{FULL_WIDTH}]")
_WIDE = re.compile(f"[{IDEOGRAPHS}{HANGUL}{FULL_WIDTH}]")
_ENDS_SENTENCE = re.compile(f"[.!?:：{FINAL_ANYWHERE}][{CLOSING}]*$")
_BEGINS_ITEM = re.compile(
    r"[#>|•●■◆▪]|[-*+](?:\s|$)|-{3}|={3}|\*{3}|```|~~~"
    r"|\d{1,3}[.．、)）](?!\d)|[(（]\d{1,3}[)）]"
    r"|[(（]?[一二三四五六七八九十]{1,3}[、.．)）]"
    r"|第[一二三四五六七八九十百零〇\d]{1,5}[章节条款编篇]"
)
_INDENT = " \t\u3000"
_FENCES = ("```", "~~~")

# Columns: below, lines are entries of a list; above, each line is a paragraph of its own.
_NARROWEST, _WIDEST = 30, 200
# A line counts as full from this share of the document's width on.
_FULL_SHARE = 0.75
# In a wrapped text, at least this share of the lines is within a tenth of the document's width.
_WRAPPED_SHARE = 1 / 3

Span = tuple[int, int]


def unwrap(text: str, start: int = 0, end: int | None = None) -> str:
    """`text[start:end]` without its soft wraps, which are found by the lines of all of `text`.

    For a passage, `passage.text == unwrap(document.text, passage.start, passage.end)`.
    """
    end = len(text) if end is None else end
    parts = []
    for wrap_start, wrap_end in soft_wraps(text):
        if start <= wrap_start and wrap_end <= end:
            parts.append(text[start:wrap_start])
            start = wrap_end
    return "".join((*parts, text[start:end]))


def soft_wraps(text: str) -> list[Span]:
    """The spans of the line ends, with the indentation after them, that only a width explains.

    The line above is about as wide as the document's lines are and ends no sentence; the line below
    goes on with it, and begins no item and no paragraph; one side of the line end is an ideograph.
    """
    if "\n" not in text or not _IDEOGRAPH.search(text):
        return []
    lines = text.split("\n")
    width = _wrap_width(lines)
    if width is None:
        return []
    wraps = []
    position = 0
    fenced = False
    for line, below in pairwise(lines):
        end = position + len(line)
        fenced ^= line.lstrip().startswith(_FENCES)
        if not fenced and _goes_on(line.removesuffix("\r"), below, _FULL_SHARE * width):
            wraps.append((end - line.endswith("\r"), end + 1 + _indent(below)))
        position = end + 1
    return wraps


def _wrap_width(lines: Sequence[str]) -> int | None:
    """The 90th percentile of the lines' widths in columns; None where lines are not wrapped."""
    widths = sorted(_width(line) for line in lines if line and not line.isspace())
    if not widths:
        return None
    width = widths[min(len(widths) - 1, int(0.9 * len(widths)))]
    near = bisect_right(widths, 1.1 * width) - bisect_left(widths, 0.9 * width)
    wrapped = _NARROWEST <= width <= _WIDEST and near >= _WRAPPED_SHARE * len(widths)
    return width if wrapped else None


def _width(line: str) -> int:
    line = line.strip()
    return len(line) if line.isascii() else len(line) + len(_WIDE.findall(line))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(_INDENT))


def _goes_on(line: str, below: str, full_width: float) -> bool:
    rest = below.strip()
    if not line or not rest or line[-1].isspace():
        return False
    if not (_JOINABLE.match(line[-1]) or _JOINABLE.match(rest[0])):
        return False
    if _width(line) < full_width or _indent(below) > _indent(line):
        return False
    if line.lstrip().startswith(("#", "|")):
        return False
    return not _ENDS_SENTENCE.search(line) and not _BEGINS_ITEM.match(rest)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A text without its soft wraps, and the way back to the offsets of the text with them."""

    text: str
    _places: Sequence[int] = ()
    _removed: Sequence[int] = (0,)
    _wraps: Sequence[Span] = ()

    @classmethod
    def of(cls, text: str) -> Unwrapped:
        """The text unwrapped."""
        wraps = soft_wraps(text)
        if not wraps:
            return cls(text)
        removed = list(accumulate((end - start for start, end in wraps), initial=0))
        places = [start - before for (start, _), before in zip(wraps, removed, strict=False)]
        starts = [0, *(end for _, end in wraps)]
        ends = [*(start for start, _ in wraps), len(text)]
        parts = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        return cls("".join(parts), places, removed, wraps)

    def source_start(self, offset: int) -> int:
        """Where the character after this offset stands in the wrapped text."""
        return offset + self._removed[bisect_right(self._places, offset)]

    def source_end(self, offset: int) -> int:
        """Where the character before this offset ends in the wrapped text."""
        return offset + self._removed[bisect_left(self._places, offset)]

    def offset(self, source: int) -> int:
        """The offset here of a place in the wrapped text."""
        index = bisect_right(self._wraps, (source, -1))
        if index and source < self._wraps[index - 1][1]:
            return self._places[index - 1]
        return source - self._removed[index]
