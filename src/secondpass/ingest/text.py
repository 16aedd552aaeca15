"""Plain text, and what every text format needs: bytes to str, or a reason why not.

bytes -> byte order mark? -> NUL? -> strict UTF-8 -> GB18030, if the outcome looks like Chinese
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from secondpass.errors import DocumentError
from secondpass.ingest.outcome import Outcome
from secondpass.types import Document

# The longer marks first: that of UTF-32-LE begins with that of UTF-16-LE.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_ASCII = re.compile("[\x00-\x7f]+")
_SAMPLE = 20_000
_COMMON_SHARE = 0.6


def load_text(path: Path) -> Iterator[Outcome]:
    """The file as one document whose text is the file's own, without a byte order mark."""
    yield Document(id=path.as_posix(), text=decode(path.read_bytes()), path=path.as_posix())


def decode(data: bytes) -> str:
    """The text that these bytes are; DocumentError where they are none, or not beyond doubt."""
    marked = decode_marked(data)
    if marked is not None:
        return marked
    if b"\0" in data:
        raise DocumentError("it has NUL bytes, so it is binary; convert it to text first")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        chinese = _decode_chinese(data)
        if chinese is None:
            raise DocumentError(
                f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8, and as "
                "GB18030 the text makes no sense; convert it to UTF-8"
            ) from error
        return chinese


def decode_marked(data: bytes) -> str | None:
    """The text of bytes that begin with a byte order mark; None where there is no mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise DocumentError(
                    f"its byte order mark says {encoding}, but at offset "
                    f"{error.start + len(mark)} it is not; convert it to UTF-8"
                ) from error
    return None


def _decode_chinese(data: bytes) -> str | None:
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    if _CONTROL.search(text):
        return None
    # GB18030 gives a meaning to almost any pair of bytes. Chinese keeps to the characters of
    # GB 2312; Latin-1, Shift JIS or Big5 read as GB18030 mostly land outside of it.
    sample = _ASCII.sub("", text)[:_SAMPLE]
    common = len(sample.encode("gb2312", "ignore")) / 2
    return text if common >= _COMMON_SHARE * len(sample) else None
