"""What does a stream of server-sent events say? The data of each event, as the HTML standard parses it.

bytes, cut anywhere -> text -> lines -> data
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator


def event_data(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each event that ended with an empty line; one that the stream cuts off is none.

    Chunks may end within a character or a line. Comments and other fields are left out.
    """
    data: list[str] = []
    for line in _lines(chunks):
        if not line and data:
            yield "\n".join(data)
            data = []
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, which end with LF, CR or CRLF; what stands behind the last end is no line."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    after_return = False
    for chunk in chunks:
        text = decoder.decode(chunk)
        if after_return and text:
            text = text.removeprefix("\n")
            after_return = False
        if not text:
            continue
        after_return = text.endswith("\r")
        parts = (rest + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        rest = parts.pop()
        yield from parts
