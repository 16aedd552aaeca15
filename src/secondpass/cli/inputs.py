"""What was given on files and pipes? Texts to rank, queries to run; errors name the line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from secondpass.cli.messages import counted, hint
from secondpass.errors import InvalidInput

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class GivenText:
    """A text to rank: `index` counts the input's lines from 0, `id` is None where none was given."""

    index: int
    text: str
    id: str | None = None
    title: str = ""

    @property
    def text_in_context(self) -> str:
        """The text under its title, as the model reads it."""
        return f"{self.title}\n{self.text}" if self.title.strip() else self.text


def read_texts(file: Path) -> list[GivenText]:
    """The texts of a file, or of standard input for '-'. Blank lines are left out, and said.

    Lines are JSON where the file's name says so or where the first one is a JSON object.
    """
    content, name = _content(file)
    lines = _lines(content)
    filled = [(at, line) for at, line in enumerate(lines) if line.strip()]
    if not filled:
        raise InvalidInput(f"{name} holds no text; expected one text a line, or JSON Lines")
    if len(filled) < len(lines):
        hint(f"{counted(len(lines) - len(filled), 'blank line')} left out")
    if file.suffix in (".jsonl", ".ndjson") or _is_object(filled[0][1]):
        return [_text_of(at, line, name) for at, line in filled]
    return [GivenText(at, line) for at, line in filled]


def _text_of(at: int, line: str, name: str) -> GivenText:
    record = _parsed(line, at, name)
    if isinstance(record, str):
        return GivenText(at, record)
    fields = record if isinstance(record, dict) else {}
    text = fields.get("text")
    if not isinstance(text, str):
        raise InvalidInput(
            f'{name} line {at + 1} has no text; expected a string or an object with "text"'
        )
    known = fields.get("_id", fields.get("id"))
    return GivenText(
        at, text, None if known is None else str(known), str(fields.get("title") or "")
    )


def read_queries(file: Path) -> dict[str, str]:
    """Queries by id, from JSON Lines of {"_id" or "id", "text"}."""
    content, name = _content(file)
    queries: dict[str, str] = {}
    for at, line in enumerate(_lines(content)):
        if not line.strip():
            continue
        record = _parsed(line, at, name)
        fields = record if isinstance(record, dict) else {}
        known, text = fields.get("_id", fields.get("id")), fields.get("text")
        if not isinstance(known, str | int) or not isinstance(text, str) or not text.strip():
            raise InvalidInput(
                f'{name} line {at + 1} is no query; expected {{"_id": ..., "text": ...}} with a '
                "text that is not blank"
            )
        if str(known).split() != [str(known)] or str(known) in queries:
            raise InvalidInput(
                f"{name} line {at + 1} has the id '{known}'; expected one without blanks that no "
                "other line has: a TREC run tells queries apart by it"
            )
        queries[str(known)] = text
    if not queries:
        raise InvalidInput(f"{name} holds no queries; expected JSON Lines, one query a line")
    return queries


def _content(file: Path) -> tuple[str, str]:
    """The text of a file or of standard input, and how to call it in a message."""
    if file == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InvalidInput("no input: name a file, or pipe one text a line into this command")
        data, name = sys.stdin.buffer.read(), "standard input"
    else:
        name = f"'{file}'"
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{name} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{name} is not UTF-8 (byte {error.start}); convert it first, e.g. iconv -f gb18030"
        ) from error


def _lines(content: str) -> list[str]:
    """Lines as `wc -l` counts them: only a line feed ends one, which str.splitlines widens."""
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _parsed(line: str, at: int, name: str) -> object:
    try:
        record: object = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{name} line {at + 1} is no JSON: {error}") from error
    return record
