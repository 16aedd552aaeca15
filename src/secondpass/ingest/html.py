"""HTML: the text a reader sees, with a section under each heading.

bytes -> charset -> tree -> (text, headings) -> document
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.ingest.headings import Heading, sections_under
from secondpass.ingest.outcome import Outcome
from secondpass.ingest.text import decode, decode_marked
from secondpass.types import Document

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DROPPED = frozenset("head script style nav template noscript svg iframe".split())
_LINES = frozenset("br tr li dt dd div option figcaption caption legend summary".split())
_PARAGRAPHS = frozenset(
    "p h1 h2 h3 h4 h5 h6 table ul ol dl pre blockquote hr section article main header footer aside "
    "figure form fieldset details address".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_WHITE = re.compile(r"[ \t\n\r\f]+")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w:.-]+)""", re.IGNORECASE)
# Names that browsers read as a superset of what they say.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
}
# From the weakest to the strongest: of two between the same words, the stronger is written.
_SEPARATORS = ("", " ", "\t", "\n", "\n\n")
_SPACE, _CELL, _LINE, _PARAGRAPH = 1, 2, 3, 4


def load_html(path: Path) -> Iterator[Outcome]:
    """The file as one document; offsets are into the text that was extracted."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decode(path.read_bytes()))
    writer = _Writer()
    if tree.root is not None:
        _walk(tree.root, writer)
    text = "".join(writer.parts)
    named = tree.css_first("title")
    title = " ".join(named.text().split()) if named is not None else ""
    if not title:
        title = next((heading.title for heading in writer.headings if heading.level == 1), "")
    sections = sections_under(writer.headings, text)
    yield Document(path.as_posix(), text, title, path.as_posix(), sections)


def _decode(data: bytes) -> str:
    marked = decode_marked(data)
    if marked is not None:
        return marked
    declared = _CHARSET.search(data, 0, 4096)
    if declared and b"\0" not in data:
        name = declared[1].decode("ascii", "replace").lower()
        try:
            return data.decode(codecs.lookup(_SUPERSETS.get(name, name)).name)
        except (LookupError, UnicodeDecodeError):
            # Declarations are often wrong; `decode` finds out or says why it cannot.
            pass
    return decode(data)


def _walk(root: LexborNode, writer: _Writer) -> None:
    # By hand instead of by recursion: a page may nest deeper than Python's stack.
    node: LexborNode = root
    while True:
        dropped = node.tag in _DROPPED
        if not dropped:
            writer.enter(node)
        child = None if dropped else node.first_child
        if child is not None:
            node = child
            continue
        while True:
            if node.tag not in _DROPPED:
                writer.leave(node)
            parent = node.parent
            if node.mem_id == root.mem_id or parent is None:
                return
            sibling = node.next
            if sibling is not None:
                node = sibling
                break
            node = parent


class _Writer:
    """Collects text with at most one separator between words, and notes where headings stand."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.headings: list[Heading] = []
        self._length = 0
        self._separator = 0
        self._cells = 0
        self._verbatim = 0
        self._heading: int | None = None

    def enter(self, node: LexborNode) -> None:
        if node.is_text_node:
            self._text(node.text_content or "")
            return
        tag = node.tag or ""
        self._break(tag)
        self._cells += tag in ("td", "th")
        self._verbatim += tag == "pre"
        if tag in _HEADINGS and self._heading is None:
            self._heading = len(self.parts)

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in ("td", "th"):
            self._cells -= 1
            self._separator = max(self._separator, _CELL)
        self._verbatim -= tag == "pre"
        if tag in _HEADINGS and self._heading is not None:
            self._close_heading(self._heading, _HEADINGS[tag])
            self._heading = None
        if tag != "br":
            self._break(tag)

    def _break(self, tag: str) -> None:
        strength = _PARAGRAPH if tag in _PARAGRAPHS else _LINE if tag in _LINES else 0
        if strength and self._cells:
            # A row stays on one line, whatever its cells hold.
            strength = _SPACE
        self._separator = max(self._separator, strength)

    def _text(self, text: str) -> None:
        text = text.replace("\xa0", " ")
        if self._verbatim and not self._cells:
            self._write(text.replace("\r\n", "\n"))
            return
        words = _WHITE.sub(" ", text)
        if words.startswith(" "):
            self._separator = max(self._separator, _SPACE)
        if words.strip(" "):
            self._write(words.strip(" "))
            self._separator = _SPACE if words.endswith(" ") else 0

    def _write(self, text: str) -> None:
        if not text:
            return
        separator = _SEPARATORS[self._separator] if self._length else ""
        self._separator = 0
        self.parts += (separator, text)
        self._length += len(separator) + len(text)

    def _close_heading(self, first: int, level: int) -> None:
        written = "".join(self.parts[first:])
        start = self._length - len(written.lstrip())
        if written.strip():
            self.headings.append(Heading(start, self._length, level, " ".join(written.split())))
