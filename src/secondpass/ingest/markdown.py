"""Markdown: the text as the file has it, with a section under each heading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.ingest.headings import Heading, sections_under
from secondpass.ingest.outcome import Outcome
from secondpass.ingest.text import decode
from secondpass.types import Document

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINE_END = re.compile(r"\r\n|\r|\n")
# A first line of dashes may be a thematic break as well: only `key:` below it makes front matter.
_FRONT_MATTER = re.compile(
    r"(?P<fence>---|\+\+\+)[ \t]*\r?\n"
    r"(?P<fields>(?:[ \t]*(?:#.*)?\r?\n)*[\w-]+[ \t]*[:=](?s:.*?)^)"
    r"(?P=fence)[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE,
)
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(.+?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)


def load_markdown(path: Path) -> Iterator[Outcome]:
    """The file as one document; its front matter is in the text, but in no section."""
    text = decode(path.read_bytes())
    front_matter = _FRONT_MATTER.match(text)
    start = front_matter.end() if front_matter else 0
    headings = _headings(text, start)
    title = _front_title(front_matter["fields"]) if front_matter else ""
    if not title:
        title = next((heading.title for heading in headings if heading.level == 1), "")
    sections = sections_under(headings, text, start)
    yield Document(path.as_posix(), text, title, path.as_posix(), sections)


def _front_title(fields: str) -> str:
    found = _TITLE.search(fields)
    if not found:
        return ""
    value = found[1]
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return (value[1:-1] if quoted else value).strip()


def _headings(text: str, start: int) -> list[Heading]:
    from markdown_it import MarkdownIt

    # The inline rule is the costly one, and only headings need their markup resolved.
    blocks = MarkdownIt("commonmark").disable("inline")
    inline = MarkdownIt("commonmark")
    lines = [start, *(end.end() for end in _LINE_END.finditer(text, start)), len(text)]
    references: dict[str, object] = {}
    tokens = blocks.parse(text[start:], references)
    headings = []
    for opening, content in pairwise(tokens):
        # A heading inside a quotation or a list does not structure the document.
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            first, after = opening.map
            title = _plain(inline.parseInline(content.content, references))
            level = int(opening.tag[1:])
            headings.append(Heading(lines[first], lines[after], level, " ".join(title.split())))
    return headings


def _plain(tokens: Sequence[Token]) -> str:
    parts = []
    for token in tokens:
        if token.children:
            parts.append(_plain(token.children))
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type in ("text", "code_inline"):
            parts.append(token.content)
    return "".join(parts)
