"""What is said beside the answer? Hints, errors and progress go to stderr, words to count with."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)


def hint(message: str) -> None:
    """Say something on stderr that is no part of the answer."""
    typer.echo(f"secondpass: {message}", err=True)


def error_line(message: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    typer.echo(f"secondpass: error: {' '.join(message.split())}", err=True)


def progress(*, counted: bool) -> Progress:
    """A progress display on stderr that shows nothing where stderr is no terminal."""
    columns = (
        [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()] if counted else [SpinnerColumn()]
    )
    return Progress(
        TextColumn("{task.description}"),
        *columns,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def counted(number: int, what: str) -> str:
    """'1 document', '2 documents'."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(lines: Iterable[str], *, most: int = 10) -> list[str]:
    """The first lines of a list, and how many more there are."""
    every = list(lines)
    more = [f"... and {len(every) - most} more"] if len(every) > most else []
    return every[:most] + more
