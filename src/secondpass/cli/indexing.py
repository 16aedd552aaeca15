"""The command that brings an index up to date with files and folders."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.messages import counted, error_line, hint, listed, progress
from secondpass.cli.options import IndexFile, Offline, Store

if TYPE_CHECKING:
    from rich.progress import Progress

    from secondpass.ingest import Failure, Skip
    from secondpass.retrieval import AddReport, Index
    from secondpass.types import Passage


def index(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files and folders to index")
    ],
    index_file: IndexFile = None,
    store: Store = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What makes vectors; none: no vectors [default: static]"),
    ] = None,
    offline: Offline = None,
    pattern: Annotated[str, typer.Option(help="Which files of a folder")] = "**/*",
    split_by: Annotated[
        str | None,
        typer.Option("--by", help="auto, size, page, paragraph, separator or header"),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Largest passage [default: 200]")] = None,
    overlap: Annotated[int | None, typer.Option(help="Shared by neighbours [default: 0]")] = None,
    unit: Annotated[str | None, typer.Option(help="tokens or chars [default: tokens]")] = None,
    max_file_mb: Annotated[
        float | None, typer.Option(help="Refuse larger files [default: 100]")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget documents whose file or record is gone")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Index files and folders.

    Text, Markdown, HTML, PDF, Word, and JSON Lines of documents are read. A document that did not
    change is left as it is, so the same command brings an index up to date and continues one that
    was interrupted. A new index keeps vectors too, unless the encoder is 'none'.
    """
    splitting = {"split_by": split_by, "passage_size": size, "passage_overlap": overlap}
    where = {"index": index_file, "store": store, "encoder": encoder, "offline": offline}
    chosen = build.settings(
        {"passage_unit": unit, "max_file_mb": max_file_mb, **splitting, **where}
    )
    failures: list[Failure] = []
    skips: list[Skip] = []
    seen: dict[str, str | None] = {}
    stream = build.passages(
        chosen, paths, pattern=pattern, on_failure=failures.append, on_skip=skips.append
    )
    with build.index(chosen, create=True) as opened, progress(counted=False) as shown:
        report = _add(opened, _noted(stream, seen), shown)
        blank = opened.delete([skip.document for skip in skips if skip.document is not None])
        gone = _gone(opened, paths, seen, failures)
        pruned = opened.delete(gone) if prune else 0
        total = opened.info()
    if as_json:
        _print_json(report, failures, skips, gone=gone, removed=blank + pruned)
    else:
        documents = counted(total.documents, "document")
        typer.echo(_told(report))
        typer.echo(f"{chosen.index} holds {documents}, {counted(total.passages, 'passage')}")
    _tell_removed(blank=blank, pruned=pruned, gone=len(gone))
    _tell_problems(report, failures, skips)
    if failures:
        raise typer.Exit(1)


def _tell_removed(*, blank: int, pruned: int, gone: int) -> None:
    if blank:
        hint(f"{counted(blank, 'document')} removed from the index, now blank")
    if pruned:
        hint(f"{counted(pruned, 'document')} removed from the index, gone from these paths")
    elif gone:
        hint(f"{counted(gone, 'document')} gone from these paths; --prune forgets them")


def _print_json(
    report: AddReport,
    failures: list[Failure],
    skips: list[Skip],
    *,
    gone: list[str],
    removed: int,
) -> None:
    everything = {
        **dataclasses.asdict(report),
        "failures": [dataclasses.asdict(failure) for failure in failures],
        "skips": [dataclasses.asdict(skip) for skip in skips],
        "gone": gone,
        "removed": removed,
    }
    typer.echo(json.dumps(everything, ensure_ascii=False))


def _noted(stream: Iterable[Passage], seen: dict[str, str | None]) -> Iterator[Passage]:
    """The same passages; `seen` takes down each document's id and path."""
    for passage in stream:
        seen[passage.document] = passage.path
        yield passage


def _gone(
    opened: Index, paths: list[str], seen: dict[str, str | None], failures: list[Failure]
) -> list[str]:
    """Ids of documents from these paths whose file, or whose record in a file, is not there now.

    A file that failed keeps what the index has of it.
    """
    named = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    failed = {re.sub(r":\d+$", "", failure.path) for failure in failures}
    read = set(seen.values())
    gone = []
    for document, path in opened.paths().items():
        if document in seen or path is None or path in failed:
            continue
        below = any(Path(path).is_relative_to(one) for one in named)
        if below and (path in read or not Path(path).exists()):
            gone.append(document)
    return gone


def _add(opened: Index, stream: Iterable[Passage], shown: Progress) -> AddReport:
    task = shown.add_task("indexing", total=None)
    so_far = "nothing"

    def on_progress(report: AddReport) -> None:
        nonlocal so_far
        so_far = counted(report.added + report.replaced + report.unchanged, "document")
        shown.update(task, description=f"indexing: {so_far}, {counted(report.passages, 'passage')}")

    try:
        report = opened.add(stream, on_progress=on_progress)
        opened.flush()
        return report
    except KeyboardInterrupt:
        hint(f"interrupted; {so_far} kept; run the same command again to continue")
        raise


def _told(report: AddReport) -> str:
    parts = [
        f"{counted(number, 'document')} {what}"
        for number, what in (
            (report.added, "added"),
            (report.replaced, "replaced"),
            (report.unchanged, "unchanged"),
        )
        if number
    ]
    return f"{', '.join(parts) or 'no documents'}; {counted(report.passages, 'passage')} written"


def _tell_problems(report: AddReport, failures: list[Failure], skips: list[Skip]) -> None:
    for line in listed(f"skipped '{skip.path}': {skip.reason}" for skip in skips):
        hint(line)
    if report.blank:
        hint(f"{counted(report.blank, 'blank passage')} left out")
    for line in listed(
        f"'{one}' came more than once; the last one stays" for one in report.duplicates
    ):
        hint(line)
    for line in listed(f"'{one}' was there from another file; replaced" for one in report.moved):
        hint(line)
    for failure in failures:
        error_line(f"'{failure.path}': {failure.reason}")
    if failures:
        error_line(f"{counted(len(failures), 'file')} could not be indexed; the rest was")
