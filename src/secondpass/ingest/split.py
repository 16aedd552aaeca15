"""Documents in, passages out: spans of the text that end where a reader would pause.

document -> text without soft wraps -> spans by strategy -> passages with the document's offsets
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from secondpass.errors import InvalidInput, UnknownName
from secondpass.ingest.packing import CHARS, ESTIMATE, Offsets, Ruler, atoms, pack
from secondpass.ingest.sentences import Span, trim
from secondpass.ingest.unwrap import Unwrapped
from secondpass.types import Document, Passage, Section

_BLANK_LINE = re.compile(r"\n[ \t\r\u3000]*+\n\s*+")
_LINE_END = re.compile(r"\n")
_SMALLEST_SIZE = 8
_TINY_SHARE = 1 / 4
_UNITS = ("tokens", "chars")


@dataclass(frozen=True, slots=True)
class Splitting:
    """How documents are split.

    by          auto       under headings if there are any, else by size; what is short stays whole
                header     the text under each heading
                page       each page
                paragraph  each paragraph (a line, where no line is blank); one shorter than a
                           quarter of `size` is joined with the next
                separator  what stands between the separators, which are in no passage
                size       across pages and headings, cut before a heading if possible
    size        the most that a passage holds; what is larger is split by size
    overlap     a passage repeats as many whole sentences of the one before, within a section
    unit        what size, overlap and keep_whole count: tokens or chars
    separator   for `by="separator"`: a string, not a pattern
    keep_whole  for `by="auto"`: up to here a document without headings and pages stays one passage;
                None for three times `size`, 0 for never

    A document without headings or pages is split by size where these are asked for.
    """

    by: str = "auto"
    size: int = 200
    overlap: int = 0
    unit: str = "tokens"
    separator: str = "\n\n"
    keep_whole: int | None = None

    def __post_init__(self) -> None:
        if self.by not in STRATEGIES:
            raise UnknownName("splitting strategy", self.by, STRATEGIES)
        if self.unit not in _UNITS:
            raise UnknownName("unit", self.unit, _UNITS)
        if self.size < _SMALLEST_SIZE:
            raise InvalidInput(
                f"size={self.size} is below {_SMALLEST_SIZE} {self.unit}; "
                "pass a size that holds a sentence or more, such as 200 tokens"
            )
        if not 0 <= self.overlap < self.size:
            raise InvalidInput(
                f"overlap={self.overlap} is not between 0 and size={self.size}; pass less than the "
                "size, or 0 for none"
            )
        if not self.separator:
            raise InvalidInput("separator='' separates nothing; pass a string such as '---'")
        if self.keep_whole is not None and self.keep_whole < 0:
            raise InvalidInput(f"keep_whole={self.keep_whole} is negative; pass 0 for never")

    @property
    def whole_limit(self) -> int:
        """Up to what length a document stays whole by `auto`."""
        return 3 * self.size if self.keep_whole is None else self.keep_whole


def split(
    documents: Iterable[Document],
    splitting: Splitting | None = None,
    tokens: Callable[[str], Offsets] | None = None,
) -> Iterator[Passage]:
    """The passages of each document in order, documents in order, as they are asked for.

    `tokens` gives the offsets of a text's tokens, so that `size` counts a model's own; it is called
    with a sentence or a piece of one, and a passage's length is the sum over these. Without it
    tokens are estimated: one for an ideograph, for each six letters or digits begun, for all else.

    The id of a document's passage `n`, counted from 0, is `<document id>#<n>`. A passage has no
    white space at its ends; a blank document has no passage. `page` and `headings` are those of the
    section in which the passage starts.
    """
    if isinstance(documents, Document | str):
        raise InvalidInput(
            f"documents is a single {type(documents).__name__}; pass several, such as load('docs/')"
        )
    chosen = splitting or Splitting()
    if chosen.unit == "chars":
        ruler = CHARS
    else:
        ruler = ESTIMATE if tokens is None else Ruler.of_tokens(tokens)
    return (passage for document in documents for passage in _passages(document, chosen, ruler))


def _passages(document: Document, splitting: Splitting, ruler: Ruler) -> Iterator[Passage]:
    layout = _Layout.of(document)
    spans = STRATEGIES[splitting.by](layout, splitting, ruler)
    for number, (start, end) in enumerate(spans):
        section = layout.section_at(start)
        yield Passage(
            id=f"{document.id}#{number}",
            text=layout.text[start:end],
            document=document.id,
            start=layout.unwrapped.source_start(start),
            end=layout.unwrapped.source_end(end),
            title=document.title,
            path=document.path,
            page=section.page,
            headings=section.headings,
            metadata=document.metadata,
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """A document's unwrapped text, and where its sections are in it; never without a section."""

    unwrapped: Unwrapped
    sections: Sequence[Section]
    spans: Sequence[Span]

    @classmethod
    def of(cls, document: Document) -> _Layout:
        unwrapped = Unwrapped.of(document.text)
        sections = document.sections or (Section(0, len(document.text)),)
        at = unwrapped.offset
        return cls(unwrapped, sections, [(at(one.start), at(one.end)) for one in sections])

    @property
    def text(self) -> str:
        return self.unwrapped.text

    @property
    def has_headings(self) -> bool:
        return any(section.headings for section in self.sections)

    @property
    def has_pages(self) -> bool:
        return any(section.page is not None for section in self.sections)

    def section_at(self, offset: int) -> Section:
        return self.sections[bisect_right(self.spans, (offset, len(self.text))) - 1]

    def runs(self) -> Iterator[list[int]]:
        """The sections, by index, in runs with nothing but white space between neighbours."""
        run: list[int] = []
        for index, (start, _) in enumerate(self.spans):
            if run and self.text[self.spans[run[-1]][1] : start].strip():
                yield run
                run = []
            run.append(index)
        if run:
            yield run


def _pack(
    spans: Sequence[Span], layout: _Layout, splitting: Splitting, ruler: Ruler
) -> Iterator[Span]:
    size = splitting.size
    for group in pack(atoms(layout.text, spans, size, ruler), size, splitting.overlap):
        yield group[0].start, group[-1].end


def _by_size(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    for run in layout.runs():
        spans: list[Span] = []
        for index in run:
            start, end = layout.spans[index]
            # A sentence may run on across a page's end, but not across a heading.
            if spans and not layout.sections[index].headings:
                start = spans.pop()[0]
            spans.append((start, end))
        yield from _pack(spans, layout, splitting, ruler)


def _by_section(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    for span in layout.spans:
        yield from _pack([span], layout, splitting, ruler)


def _by_header(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    strategy = _by_section if layout.has_headings else _by_size
    return strategy(layout, splitting, ruler)


def _by_page(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    strategy = _by_section if layout.has_pages else _by_size
    return strategy(layout, splitting, ruler)


def _by_paragraph(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    end = _BLANK_LINE if _BLANK_LINE.search(layout.text.strip()) else _LINE_END
    tiny = _TINY_SHARE * splitting.size
    for run in layout.runs():
        joined: list[Span] = []
        length = 0
        for span in _between(end, layout.text, _extent(layout, run)):
            joined.append(span)
            length += ruler.count(layout.text[slice(*span)])
            if length >= tiny:
                yield from _pack([(joined[0][0], span[1])], layout, splitting, ruler)
                joined, length = [], 0
        if joined:
            yield from _pack([(joined[0][0], joined[-1][1])], layout, splitting, ruler)


def _by_separator(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    separator = re.compile(re.escape(splitting.separator))
    for run in layout.runs():
        for span in _between(separator, layout.text, _extent(layout, run)):
            yield from _pack([span], layout, splitting, ruler)


def _by_auto(layout: _Layout, splitting: Splitting, ruler: Ruler) -> Iterator[Span]:
    if layout.has_headings:
        yield from _by_section(layout, splitting, ruler)
        return
    runs = list(layout.runs())
    start, end = trim(layout.text, *_extent(layout, runs[0]))
    limit = splitting.whole_limit
    short = len(runs) == 1 and not layout.has_pages and start < end <= start + 64 * limit
    if short and ruler.count(layout.text[start:end]) <= limit:
        yield start, end
    else:
        yield from _by_size(layout, splitting, ruler)


def _extent(layout: _Layout, run: Sequence[int]) -> Span:
    return layout.spans[run[0]][0], layout.spans[run[-1]][1]


def _between(pattern: re.Pattern[str], text: str, span: Span) -> Iterator[Span]:
    """The trimmed spans between the places where the pattern is found, without blank ones."""
    start, end = span
    for found in pattern.finditer(text, start, end):
        first, last = trim(text, start, found.start())
        if first < last:
            yield first, last
        start = found.end()
    first, last = trim(text, start, end)
    if first < last:
        yield first, last


Strategy = Callable[[_Layout, Splitting, Ruler], Iterator[Span]]
STRATEGIES: dict[str, Strategy] = {
    "auto": _by_auto,
    "header": _by_header,
    "page": _by_page,
    "paragraph": _by_paragraph,
    "separator": _by_separator,
    "size": _by_size,
}
