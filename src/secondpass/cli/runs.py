"""TREC runs: which documents were found for which query, a line each, as trec_eval reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from secondpass.errors import InvalidInput
from secondpass.types import Hit

BLANK = re.compile(r"\s")  # parts the fields of a run, so an id may hold none


def best_of_documents(hits: list[Hit]) -> list[Hit]:
    """Each document's best hit, in the order of hits: a run ranks documents, not passages."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.document, hit)
    return list(best.values())


def run_lines(query: str, hits: list[Hit]) -> list[str]:
    """A query's lines of a TREC run; white space in document ids is percent-encoded."""
    return [
        f"{query} Q0 {BLANK.sub(lambda found: quote(found[0]), hit.document)} {rank} {hit.order_score:.9g} secondpass\n"
        for rank, hit in enumerate(hits, start=1)
    ]


@contextmanager
def run_file(path: Path) -> Iterator[TextIO]:
    """A file to write to that takes the place of `path` when all went well, links followed.

    A device or pipe is written to as it is. Raises InvalidInput where it cannot be written.
    """
    regular = path.is_file() or not path.exists()
    target = path.resolve() if regular else path
    half_done = target.with_name(f".{target.name}.part") if regular else target
    try:
        out = half_done.open("w", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"'{path}' cannot be written: {error.strerror}") from error
    try:
        with out:
            yield out
        if regular:
            half_done.replace(target)
    except BaseException:
        if regular:
            half_done.unlink(missing_ok=True)
        raise
