"""JSON Lines: one document a line, read line by line, so that the file may be of any size.

A line is an object with `text`, and optionally `_id` or `id`, and `title`. Its other texts, numbers
and booleans become metadata; an object named `metadata` is opened one level deep; other lists and
objects are dropped, which is said once a field.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from secondpass.errors import DocumentError
from secondpass.ingest.outcome import Failure, Outcome, Skip
from secondpass.types import Document, Scalar

_OWN_FIELDS = frozenset({"_id", "id", "title", "text", "metadata"})


def load_jsonl(path: Path) -> Iterator[Outcome]:
    """The file's documents in order; a line that is none is a Failure naming the line."""
    name = path.as_posix()
    said: set[str] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                record = _parse(line.removeprefix(codecs.BOM_UTF8))
                metadata, nested = _metadata(record)
                document = _document(record, metadata, name, place)
            except DocumentError as error:
                yield Failure(place, str(error))
                continue
            for key in nested:
                if key not in said:
                    said.add(key)
                    yield Skip(
                        place, f"field '{key}' holds a list or an object; not kept, from here on"
                    )
            blank = not document.text.strip()
            yield Skip(place, "its text is blank", document.id) if blank else document


def _parse(line: bytes) -> Mapping[str, object]:
    try:
        record = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        # JSON can spell half a surrogate pair, which no encoding can write down again.
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"byte {error.start} of the line is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise DocumentError("it holds half a surrogate pair; write the character whole") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"not JSON ({error}); expected one object a line") from error
    if not isinstance(record, dict):
        raise DocumentError(f"expected an object, got {type(record).__name__}")
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _metadata(record: Mapping[str, object]) -> tuple[dict[str, Scalar], list[str]]:
    fields = {key: value for key, value in record.items() if key not in _OWN_FIELDS}
    inner = record.get("metadata")
    if isinstance(inner, dict):
        fields = {**inner, **fields}
    elif inner is not None:
        fields["metadata"] = inner
    kept: dict[str, Scalar] = {}
    nested = []
    for key, value in fields.items():
        if isinstance(value, str | int | float | bool):
            _check_value(key, value)
            kept[key] = value
        elif value is not None:
            nested.append(key)
    return kept, nested


def _check_value(key: str, value: Scalar) -> None:
    """Raise DocumentError for what an index cannot keep: here the line is still known."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise DocumentError(f"field '{key}' is {value}; expected at most 64 bits; make it a string")
    if isinstance(value, float) and not math.isfinite(value):
        raise DocumentError(f"field '{key}' is too large a number; make it a string")
    if "\0" in key or (isinstance(value, str) and "\0" in value):
        raise DocumentError(f"field {key!r} holds a NUL character; take it out")


def _document(
    record: Mapping[str, object], metadata: Mapping[str, Scalar], path: str, place: str
) -> Document:
    text = record.get("text")
    if not isinstance(text, str):
        found = "is missing" if text is None else f"is of type {type(text).__name__}"
        raise DocumentError(f"field 'text' {found}; expected a string")
    title = record.get("title")
    if title is not None and not isinstance(title, str):
        raise DocumentError(f"field 'title' is of type {type(title).__name__}; expected a string")
    identity = record.get("_id", record.get("id"))
    if identity is None or identity == "":
        identity = place
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise DocumentError(f"field 'id' is {identity!r}; expected a string or a whole number")
    return Document(str(identity), text, title or "", path, metadata=metadata)
