"""What mining reads: queries, each with the texts that are known to be right for it.

A line is {"query", "positive"}, where "positive" is a text or a list of texts and other fields are
ignored; or, in a file whose name ends in '.tsv', a query, a tab and a text. Either may be '.gz'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InvalidInput
from secondpass.training.records import (
    numbered_lines,
    numbered_objects,
    refused,
    text_of,
    texts_of,
)

TABBED = (".tsv", ".tsv.gz")
FORM = '{"query": a text, "positive": a text or a list of texts}'


@dataclass(frozen=True, slots=True)
class Question:
    """A query and all that is right for it: texts that are neither blank nor equal."""

    query: str
    rights: tuple[str, ...]

    @property
    def key(self) -> str:
        """What the query is without its capitals: equal ones are one query."""
        return key_of(self.query)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Questions in the order of their first lines, and what was left out.

    `lines` counts the lines, `blank_queries` those without a query and `blank_rights` the queries
    without any right text that is not blank.
    """

    questions: tuple[Question, ...]
    lines: int
    blank_queries: int = 0
    blank_rights: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Pairs:
        """From (query, right text) pairs; those whose queries differ in capitals only are one."""
        first: dict[str, str] = {}
        rights: dict[str, dict[str, None]] = {}
        lines = blank = 0
        for query, right in pairs:
            lines += 1
            key = key_of(query)
            blank += not key
            first.setdefault(key, query.strip())
            texts = rights.setdefault(key, {})
            if right.strip():
                texts[right] = None
        questions = tuple(
            Question(first[key], tuple(texts)) for key, texts in rights.items() if key and texts
        )
        without = sum(bool(key) and not texts for key, texts in rights.items())
        return cls(questions, lines, blank, without)


def key_of(query: str) -> str:
    """A query in small letters and without the blanks around it."""
    return query.casefold().strip()


def read_pairs(path: Path) -> Pairs:
    """The questions of a file; InvalidInput names the file and the line that cannot be read."""
    pairs = Pairs.of(_tabbed(path) if path.name.endswith(TABBED) else _objects(path))
    if not pairs.questions:
        raise InvalidInput(
            f"'{path}' holds no query with a right text in {pairs.lines} lines; expected {FORM} a "
            "line, or a query, a tab and a text in a '.tsv'"
        )
    return pairs


def _objects(path: Path) -> Iterator[tuple[str, str]]:
    for number, record in numbered_objects(path):
        query, rights = text_of(record.get("query")), texts_of(record.get("positive"))
        if query is None or rights is None:
            missing = "query" if query is None else "positive"
            raise refused(path, number, f'has no "{missing}" that is a text', FORM)
        for right in rights or [""]:
            yield query, right


def _tabbed(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        if len(columns) != 2:
            raise refused(
                path, number, f"has {len(columns)} columns", "two: a query, a tab and a text"
            )
        yield columns[0], columns[1]
