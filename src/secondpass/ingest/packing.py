"""Sentences packed into passages of at most a size.

pieces -> atoms (none larger than the size) -> groups of neighbouring atoms, one a passage
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from secondpass.ingest.characters import HANGUL, IDEOGRAPHS
from secondpass.ingest.sentences import (
    LEVELS,
    SENTENCE,
    WORD,
    Piece,
    Span,
    between_words,
    finer,
    last_break,
    sentences,
    trim,
)

Offsets = Sequence[tuple[int, int]]
Measured = tuple[int, int, int, int]  # a piece and its length

# An ideograph is about a token, six letters or digits are about a token, so is all other ink.
_TOKEN = re.compile(rf"[^\W{IDEOGRAPHS}{HANGUL}]{{1,6}}|\S")
_ASCII_TOKEN = re.compile(r"\w{1,6}|\S", re.ASCII)

# More characters a token than this, and a piece is broken up without counting its tokens.
_CHARS_PER_TOKEN = 64
# Pieces of words hold at most an eighth of the size, so that packing has a choice among them.
_WORDS_SHARE = 8
# Characters a token that are looked at for the next such piece; words of prose take about 5.
_BLOCK = 5
_SMALLEST_REST = 1 / 4


def estimate_tokens(text: str) -> int:
    """About how many tokens a model's vocabulary makes of this text."""
    return len((_ASCII_TOKEN if text.isascii() else _TOKEN).findall(text))


def _estimate_offsets(text: str) -> Offsets:
    return [found.span() for found in _TOKEN.finditer(text)]


def _character_offsets(text: str) -> Offsets:
    return [(place, place + 1) for place in range(len(text))]


@dataclass(frozen=True, slots=True)
class Ruler:
    """How the length of a text is counted; `gap` is the length of a white space between pieces."""

    count: Callable[[str], int]
    offsets: Callable[[str], Offsets]
    gap: int = 0

    @classmethod
    def of_tokens(cls, tokens: Callable[[str], Offsets]) -> Ruler:
        """Counts the tokens whose offsets `tokens` gives."""
        return cls(lambda text: len(tokens(text)), tokens)


CHARS = Ruler(len, _character_offsets, gap=1)
ESTIMATE = Ruler(estimate_tokens, _estimate_offsets)


class Atom(NamedTuple):
    """A span that is never cut, where it lies on the ruler, how good its end is to cut at."""

    start: int
    end: int
    low: int
    high: int
    strength: int


def atoms(text: str, spans: Sequence[Span], size: int, ruler: Ruler) -> Iterator[Atom]:
    """The sentences of these spans as atoms, those above the size broken up by ever finer cuts."""
    at = mark = 0
    for span in spans:
        for piece in sentences(text, *trim(text, *span)):
            for first, last, strength, length in _fitting(text, piece, size, ruler):
                low = mark + ruler.gap * (first - at)
                at, mark = last, low + length
                yield Atom(first, last, low, mark, strength)


def _fitting(text: str, piece: Piece, size: int, ruler: Ruler) -> Iterator[Measured]:
    length = _length(text, piece, size, ruler)
    if length <= size:
        yield *piece, length
    else:
        yield from _broken(text, piece, size, ruler, 0)


def _broken(text: str, piece: Piece, size: int, ruler: Ruler, level: int) -> Iterator[Measured]:
    """A piece known to be too large, cut at this level of fineness and below."""
    if level == LEVELS:
        yield from _words(text, piece, size, ruler)
        return
    for part in finer(text, piece, level):
        whole = part[:2] == piece[:2]
        if not whole and (length := _length(text, part, size, ruler)) <= size:
            yield *part, length
        else:
            yield from _broken(text, part, size, ruler, level + 1)


def _length(text: str, piece: Piece, size: int, ruler: Ruler) -> int:
    start, end, _ = piece
    most = _CHARS_PER_TOKEN * size
    return ruler.count(text[start:end]) if end - start <= most else most


def _words(text: str, piece: Piece, size: int, ruler: Ruler) -> Iterator[Measured]:
    start, end, strength = piece
    while start < end:
        cut = min(end, _word_cut(text, start, end, size, ruler))
        first, last = trim(text, start, cut)
        if first < last:
            yield first, last, strength if cut == end else WORD, ruler.count(text[first:last])
        start = cut


def _word_cut(text: str, start: int, end: int, size: int, ruler: Ruler) -> int:
    """The end of a few words, or, where a word is longer than these, of at most the size."""
    cut = end
    for length in (max(1, size // _WORDS_SHARE), size):
        block = text[start : min(end, start + _BLOCK * length)]
        tokens = ruler.offsets(block)
        most = start + (tokens[length][0] if len(tokens) > length else len(block))
        if most >= end:
            return end
        cut = last_break(text, start, most)
        if between_words(text, cut):
            break
    return cut


def pack(pieces: Iterator[Atom], size: int, overlap: int) -> Iterator[list[Atom]]:
    """Runs of atoms of at most `size`, cut at the best places that leave none of them tiny.

    A run begins with the last whole sentences of the run before, as many as `overlap` holds.
    """
    buffer: list[Atom] = []
    repeated = 0
    for atom in pieces:
        buffer.append(atom)
        # Whatever is cut off now, the rest is no tiny one.
        while buffer[-1].high - buffer[0].low > (1 + _SMALLEST_REST) * size:
            cut = _cut(buffer, repeated, size)
            yield buffer[:cut]
            keep = _overlap_start(buffer, cut, size, overlap)
            buffer, repeated = buffer[keep:], cut - keep
    while len(buffer) > repeated:
        cut = _last_cut(buffer, repeated, size)
        yield buffer[:cut]
        keep = _overlap_start(buffer, cut, size, overlap)
        buffer, repeated = buffer[keep:], cut - keep


def _cut(buffer: Sequence[Atom], repeated: int, size: int) -> int:
    """How many atoms make the passage: up to the best place to cut in its second half."""
    low = buffer[0].low
    fits = repeated + 1
    while fits < len(buffer) and buffer[fits].high - low <= size:
        fits += 1
    filled = buffer[fits - 1].high - low
    return _strongest(buffer, range(repeated + 1, fits + 1), low + filled / 2, low + filled)


def _last_cut(buffer: Sequence[Atom], repeated: int, size: int) -> int:
    low, high = buffer[0].low, buffer[-1].high
    if high - low <= size:
        return len(buffer)
    cut = _cut(buffer, repeated, size)
    if high - buffer[cut - 1].high >= _SMALLEST_REST * size:
        return cut
    total = high - low
    middle = _strongest(buffer, range(repeated + 1, cut), low + 0.35 * total, low + 0.65 * total)
    return middle or cut


def _strongest(buffer: Sequence[Atom], cuts: range, low: float, high: float) -> int:
    """The last of the best cuts between two marks; 0 where there is none between them."""
    best, best_strength = 0, -1
    for cut in cuts:
        before = buffer[cut - 1]
        if low <= before.high <= high and before.strength >= best_strength:
            best, best_strength = cut, before.strength
    return best


def _overlap_start(buffer: Sequence[Atom], cut: int, size: int, overlap: int) -> int:
    """Where the next passage starts: `cut`, or before it at the start of a sentence."""
    if not overlap or cut == len(buffer):
        return cut
    keep = cut
    for start in range(cut - 1, 0, -1):
        if buffer[cut - 1].high - buffer[start].low > overlap:
            break
        if buffer[start - 1].strength >= SENTENCE:
            keep = start
    fits = buffer[cut].high - buffer[keep].low <= size
    return keep if fits else cut
