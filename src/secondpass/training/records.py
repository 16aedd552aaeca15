"""Training files line by line: plain or gzip, JSON Lines or tabs; every error names the line.

Files are read as they come, so that they may be of any size. What is written appears whole or not
at all.
"""

from __future__ import annotations

import codecs
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, NoReturn, TextIO, cast

from secondpass.errors import InvalidInput

COMPRESSED = ".gz"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends, each with its number from 1.

    InvalidInput for a file that cannot be read, is damaged, or is not UTF-8.
    """
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                text = _decoded(line.removeprefix(codecs.BOM_UTF8), path, number)
                if text.strip():
                    yield number, text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"'{path}' is damaged ({error}); expected a whole gzip file; fetch or write it again"
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"'{path}' cannot be read: {error.strerror}; expected a file of JSON Lines; check the "
            "path and its permissions"
        ) from error


def numbered_objects(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The JSON objects of the lines that are not blank, each with its line's number from 1."""
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise refused(path, number, f"is no JSON ({error})", "one object a line") from error
        if not isinstance(record, dict):
            raise refused(path, number, f"is {type(record).__name__}", "an object")
        yield number, record


def refused(path: Path, number: int, wrong: str, expected: str) -> InvalidInput:
    """The error of one line: what is wrong with it, and what was expected."""
    return InvalidInput(f"'{path}' line {number} {wrong}; expected {expected}; correct the line")


def text_of(value: object) -> str | None:
    """The value where it is a text that can be written down again; None for anything else.

    JSON can spell half a surrogate pair, which no encoding writes.
    """
    if not isinstance(value, str):
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return value


def texts_of(value: object) -> list[str] | None:
    """A list of texts, or one text as a list of one; None for anything else."""
    listed = [text_of(one) for one in (value if isinstance(value, list) else [value])]
    texts = [text for text in listed if text is not None]
    return texts if len(texts) == len(listed) else None


def numbers_of(value: object) -> list[float] | None:
    """A list of finite numbers; None for anything else."""
    if not isinstance(value, list):
        return None
    most = sys.float_info.max
    numbers = [float(one) for one in value if isinstance(one, int | float) and abs(one) <= most]
    return numbers if len(numbers) == len(value) else None


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write to, gzip where its name ends in '.gz', that becomes `path` when all went well.

    Links are followed, and equal texts make equal files. InvalidInput where it cannot be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise InvalidInput(
            f"'{path}' is a folder or a device; expected a file, or a path that is free; choose another"
        )
    part = target.with_name(f".{target.name}.part")
    try:
        raw = part.open("wb")
    except OSError as error:
        raise InvalidInput(
            f"'{path}' cannot be written: {error.strerror}; expected a path in a folder that is "
            "there; choose another"
        ) from error
    try:
        with raw:
            if target.name.endswith(COMPRESSED):
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                    yield from _text(packed)
            else:
                yield from _text(raw)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _text(raw: IO[bytes] | gzip.GzipFile) -> Iterator[TextIO]:
    text = TextIOWrapper(cast(IO[bytes], raw), encoding="utf-8", newline="\n")
    try:
        yield text
        text.flush()
    finally:
        text.detach()


def _opened(path: Path) -> IO[bytes]:
    if path.name.endswith(COMPRESSED):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refused(path, number, f"is not UTF-8 (byte {error.start})", "UTF-8") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
