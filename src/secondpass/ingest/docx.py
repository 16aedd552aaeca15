"""Word documents (.docx): paragraphs and tables of the body in order, sections under headings.

Headers, footers, notes, comments and text boxes are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from secondpass.errors import DocumentError, MissingExtra
from secondpass.ingest.headings import Heading, sections_under
from secondpass.ingest.outcome import Outcome
from secondpass.types import Document

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.table import Table
    from docx.text.paragraph import Paragraph

_OLE = b"\xd0\xcf\x11\xe0"


def require_docx() -> None:
    """MissingExtra where python-docx is not installed."""
    try:
        import docx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("reading .docx files", "docx") from error


def load_docx(path: Path) -> Iterator[Outcome]:
    """The file as one document; offsets are into the text that was extracted."""
    require_docx()
    source = _open(path)
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    for block in source.iter_inner_content():
        text = _block_text(block)
        if not text.strip():
            continue
        separator = "\n\n" if parts else ""
        start = length + len(separator)
        length = start + len(text)
        parts += (separator, text)
        level = _heading_level(block)
        if level is not None:
            headings.append(Heading(start, length, level, " ".join(text.split())))
    text = "".join(parts)
    title = (source.core_properties.title or "").strip()
    if not title:
        title = next((heading.title for heading in headings if heading.level <= 1), "")
    sections = sections_under(headings, text)
    yield Document(path.as_posix(), text, title, path.as_posix(), sections)


def _open(path: Path) -> WordDocument:
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    with path.open("rb") as file:
        if file.read(4) == _OLE:
            raise DocumentError("it is encrypted or an old .doc; save it as a plain .docx first")
        file.seek(0)
        try:
            return docx.Document(file)
        # A damaged archive, a missing part, a part of another kind, XML that does not parse.
        except (PackageNotFoundError, BadZipFile, KeyError, ValueError, SyntaxError) as error:
            raise DocumentError(f"it is damaged or no .docx file ({error})") from error


def _block_text(block: Paragraph | Table) -> str:
    from docx.table import Table

    return _table_text(block) if isinstance(block, Table) else block.text.rstrip()


def _table_text(table: Table) -> str:
    lines = []
    for row in table.rows:
        # A merged cell is listed once for each column that it spans.
        cells = {id(cell._tc): cell for cell in row.cells}
        lines.append("\t".join(" ".join(cell.text.split()) for cell in cells.values()))
    return "\n".join(line for line in lines if line.strip())


def _heading_level(block: Paragraph | Table) -> int | None:
    name = block.style.name if block.style is not None else None
    if name == "Title":
        return 0
    if name and name.startswith("Heading ") and name[8:].isdigit():
        return int(name[8:])
    return None
