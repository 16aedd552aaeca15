"""PDF: the text layer, with a section for each page.

PDFium gives no order beyond the file's own, and no headings. Page numbers in headers and footers
are taken out, because a sentence may run on across them.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import DocumentError
from secondpass.ingest.outcome import Outcome, Skip
from secondpass.types import Document, Section

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage  # type: ignore[import-untyped]

# PDFium is not thread-safe, not even across documents.
_PDFIUM = threading.Lock()

# U+FFFE is what PDFium gives for a hyphen at a line's end, together with that end.
_NOISE = re.compile("[\ufffe\uffff\u00ad\x00-\x08\x0e-\x1f]")
_LINE_END = re.compile(r"[ \t]*(?:\r\n?|\n)")
_PAGE_NUMBER = re.compile(
    r"[\W_]*(?:page|p\.|seite|第)?[\W_]*(\d{1,4})(?:\s*(?:/|of|von)\s*\d{1,4})?[\W_]*页?[\W_]*",
    re.IGNORECASE,
)
_NO_TITLE = re.compile(
    r"[\W_]*|(?:microsoft )?(?:word|powerpoint|excel) - .*|untitled.*|(?:document|slide|文档) ?\d*"
    r"|.*\.(?:docx?|pptx?|xlsx?|pdf|indd|tex|dvi|wps|rtf|odt|md|html?)",
    re.IGNORECASE | re.DOTALL,
)


def load_pdf(path: Path) -> Iterator[Outcome]:
    """The file as one document: the pages' texts, joined by line ends."""
    pages, pictures, named = _read(path)
    if not any(page.strip() for page in pages):
        raise DocumentError(
            f"none of its {len(pages)} pages has a text layer, so it is probably scanned; "
            "run it through text recognition (OCR) first"
        )
    if pictures:
        numbers = ", ".join(str(number) for number in pictures)
        yield Skip(path.as_posix(), f"pages without text, only pictures: {numbers}")
    sections = []
    start = 0
    pages = without_page_numbers(pages)
    for number, page in enumerate(pages, start=1):
        sections.append(Section(start, start + len(page), page=number))
        start += len(page) + 1
    title = sensible_title(named)
    yield Document(path.as_posix(), "\n".join(pages), title, path.as_posix(), tuple(sections))


def _read(path: Path) -> tuple[list[str], list[int], str]:
    """The texts of the pages, the numbers of those that are only pictures, the title."""
    from pypdfium2 import PdfDocument, PdfiumError

    data = path.read_bytes()
    with _PDFIUM:
        try:
            document = PdfDocument(data)
        except PdfiumError as error:
            if "password" in str(error).lower():
                raise DocumentError("it is encrypted; save it without a password first") from error
            raise DocumentError(f"it is damaged or no PDF ({error})") from error
        try:
            return _pages(document)
        except PdfiumError as error:
            raise DocumentError(f"a page of it is damaged ({error})") from error
        finally:
            document.close()


def _pages(document: PdfDocument) -> tuple[list[str], list[int], str]:
    texts = []
    pictures = []
    for number in range(1, len(document) + 1):
        page = document[number - 1]
        try:
            texts.append(_page_text(page))
            if not texts[-1].strip() and _has_picture(page):
                pictures.append(number)
        finally:
            page.close()
    return texts, pictures, document.get_metadata_value("Title")


def _page_text(page: PdfPage) -> str:
    layer = page.get_textpage()
    try:
        return _NOISE.sub("", _LINE_END.sub("\n", layer.get_text_range())).rstrip()
    finally:
        layer.close()


def _has_picture(page: PdfPage) -> bool:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE  # type: ignore[import-untyped]

    return any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=3))


def without_page_numbers(pages: Sequence[str]) -> list[str]:
    """The pages without first and last lines that hold only the page's number.

    A number counts as the page's where it is as far from the page's place in the file on at least
    two pages and half of them, so that a table's last cell is left alone.
    """
    texts = list(pages)
    for edge in (-1, 0):
        lines = [_edge_line(text, edge) for text in texts]
        found = [_PAGE_NUMBER.fullmatch(line) if line else None for line in lines]
        shifts = [int(match[1]) - place if match else None for place, match in enumerate(found)]
        counted = Counter(shift for shift in shifts if shift is not None).most_common(1)
        if not counted:
            continue
        shift, count = counted[0]
        if 2 * count >= len(texts) and (count > 1 or shift == len(texts) == 1):
            for place, line in enumerate(lines):
                if shifts[place] == shift:
                    texts[place] = _without_edge(texts[place], line, edge)
    return texts


def _edge_line(text: str, edge: int) -> str:
    lines = text.strip().splitlines()
    return lines[edge] if lines else ""


def _without_edge(text: str, line: str, edge: int) -> str:
    return text.lstrip()[len(line) :].lstrip("\n") if edge == 0 else text[: -len(line)].rstrip()


def sensible_title(title: str) -> str:
    """The title, or nothing where a program left it blank or wrote a file's name there."""
    title = " ".join(title.split())
    return "" if _NO_TITLE.fullmatch(title) else title
