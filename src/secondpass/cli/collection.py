"""The commands that make, look at and change an index."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.console import counted, error_line, hint, listed, progress
from secondpass.cli.options import IndexFile, Offline, Revision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.progress import Progress

    from secondpass.ingest import Failure, Skip
    from secondpass.retrieval import AddReport, Index
    from secondpass.settings import Settings
    from secondpass.types import Passage


def index(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files and folders to index")
    ],
    index_file: IndexFile = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Index files and folders.

    Text, Markdown, HTML, PDF, Word, and JSON Lines of documents are read. A document that did not
    change is left as it is, so the same command brings an index up to date and continues one that
    was interrupted.
    """
    chosen = build.settings(
        {
            "index": index_file,
            "split_by": split_by,
            "passage_size": size,
            "passage_overlap": overlap,
            "passage_unit": unit,
            "max_file_mb": max_file_mb,
        }
    )
    failures: list[Failure] = []
    skips: list[Skip] = []
    stream = build.passages(
        chosen, paths, pattern=pattern, on_failure=failures.append, on_skip=skips.append
    )
    with build.index(chosen, create=True) as opened, progress(counted=False) as shown:
        report = _add(opened, stream, shown)
        total = opened.info()
    if as_json:
        _print_report_json(report, failures, skips)
    else:
        typer.echo(_told(report))
        documents, passages = (
            counted(total.documents, "document"),
            counted(total.passages, "passage"),
        )
        typer.echo(f"{chosen.index} holds {documents}, {passages}")
    _tell_problems(report, failures, skips)
    if failures:
        raise typer.Exit(1)


def _print_report_json(report: AddReport, failures: list[Failure], skips: list[Skip]) -> None:
    everything = {
        **dataclasses.asdict(report),
        "failures": [dataclasses.asdict(failure) for failure in failures],
        "skips": [dataclasses.asdict(skip) for skip in skips],
    }
    typer.echo(json.dumps(everything, ensure_ascii=False))


def _add(opened: Index, stream: Iterable[Passage], shown: Progress) -> AddReport:
    task = shown.add_task("indexing", total=None)
    so_far = "nothing"

    def on_progress(report: AddReport) -> None:
        nonlocal so_far
        so_far = counted(report.added + report.replaced + report.unchanged, "document")
        shown.update(task, description=f"indexing: {so_far}, {counted(report.passages, 'passage')}")

    try:
        return opened.add(stream, on_progress=on_progress)
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


def info(
    index_file: IndexFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON")] = False,
) -> None:
    """Tell what an index holds.

    And which model and backend would rerank.
    """
    chosen = build.settings({"index": index_file})
    with build.index(chosen) as opened:
        facts = dataclasses.asdict(opened.info())
    facts |= _engine_facts(chosen)
    if as_json:
        typer.echo(json.dumps(facts, default=str, ensure_ascii=False))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):18} {value}")


def _engine_facts(chosen: Settings) -> dict[str, object]:
    from secondpass.engine import Compute
    from secondpass.engine.backends.table import choose_backend

    asked = Compute(chosen.precision, chosen.threads, chosen.instruction_set)
    backend, compute = choose_backend(chosen.backend, None, asked)
    try:
        from secondpass._native import instruction_sets
    except ImportError:
        native = "not built: no working C++ compiler at install; numpy computes"
    else:
        native = ", ".join(instruction_sets()) or "portable"
    return {
        "model": chosen.model,
        "backend": backend,
        "precision": compute.precision,
        "processor": native,
    }


def delete(
    documents: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of documents")],
    index_file: IndexFile = None,
) -> None:
    """Remove documents from an index.

    A document is named by its record's id, or by its file's path.
    """
    chosen = build.settings({"index": index_file})
    with build.index(chosen) as opened:
        ids = [_as_known(one) for one in documents]
        there = opened.delete(ids)
    typer.echo(f"{counted(there, 'document')} removed")
    if there < len(set(ids)):
        error_line(f"{counted(len(set(ids)) - there, 'id')} not in {chosen.index}")
        raise typer.Exit(1)


def _as_known(document: str) -> str:
    """An id, or the id that `index` gave to the file which this path names."""
    path = Path(document)
    return path.resolve().as_posix() if path.suffix and path.exists() else document


def export(
    model: Annotated[str, typer.Argument(help="Bundled model, folder or hub name")],
    out: Annotated[Path, typer.Argument(help="The new folder")],
    precision: Annotated[str, typer.Option(help="int8: a byte a weight")] = "int8",
    revision: Revision = None,
    offline: Offline = None,
) -> None:
    """Write a model in another precision.

    The new folder loads like any other; int8 takes a quarter of the space of float32.
    """
    chosen = build.settings({"model": model, "revision": revision, "offline": offline})
    folder = build.export(chosen, out, precision=precision)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    typer.echo(f"{folder}: {size:.1f} MB")
