"""The command that finds hard negatives: passages that look right for a query and are not."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.messages import counted, hint, progress
from secondpass.cli.options import Backend, IndexFile, Offline, Revision, Store
from secondpass.errors import InvalidInput

if TYPE_CHECKING:
    import rich.progress

    from secondpass.training import MiningReport
    from secondpass.training.mining import Progress

PairsFile = Annotated[
    Path, typer.Option(metavar="FILE", help='Lines of {"query", "positive"}, or .tsv; .gz too')
]
ListsFile = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="The lists to write, .jsonl or .gz")
]
Ranks = Annotated[str, typer.Option(help="Where negatives may stand")]
Negatives = Annotated[int, typer.Option(help="How many a query, half of them hard")]
Strangers = Annotated[int, typer.Option("--random", help="How many more from the whole index")]
Teacher = Annotated[
    str | None, typer.Option(metavar="MODEL", help="A cross-encoder that judges what is taken")
]
Margin = Annotated[
    float | None,
    typer.Option(help="Refuse above the right score less this [default: -1.5; with --teacher 0.5]"),
]
Overlap = Annotated[
    float, typer.Option(metavar="SHARE", help="Refuse what overlaps so much with a right text")
]
SameDocument = Annotated[str, typer.Option(help="drop or keep what a right text's document has")]
Seed = Annotated[int, typer.Option(help="Of what is drawn")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON")]

RANKS = re.compile(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*")
REFUSED = {
    "right": "right",
    "same_document": "of a right text's document",
    "margin": "above the margin",
    "near_duplicate": "near-duplicates of a right text",
    "repeated": "repeated",
}
DROPPED = {
    "blank_query": "lines without a query",
    "blank_right": "queries without a right text",
    "no_negative": "queries without a negative",
}


def mine(
    pairs: PairsFile,
    out: ListsFile,
    index_file: IndexFile = None,
    store: Store = None,
    ranks: Ranks = "1-100",
    negatives: Negatives = 8,
    strangers: Strangers = 2,
    teacher: Teacher = None,
    margin: Margin = None,
    near_duplicates: Overlap = 0.8,
    same_document: SameDocument = "drop",
    seed: Seed = 0,
    force: Force = False,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    """Find hard negatives to train with.

    For each query passages of an index that look right and are not: both legs find them, and filters
    refuse what may be right after all.
    """
    from secondpass.training import Mining, read_pairs
    from secondpass.training import mine as write

    first, last = _ranks(ranks)
    _check(out, same_document, force=force)
    keep = same_document == "keep"
    wanted = Mining(first, last, negatives, strangers, margin, near_duplicates, keep, seed)
    given = {"index": index_file, "store": store, "offline": offline, "model": teacher}
    chosen = build.settings(given | {"revision": revision, "backend": backend})
    with ExitStack() as stack:
        opened = stack.enter_context(build.index(chosen))
        read = read_pairs(pairs)
        model = stack.enter_context(build.reranker(chosen)) if teacher is not None else None
        told = _teller(stack.enter_context(progress(counted=True)))
        report = write(read, opened, out, mining=wanted, teacher=model, on_progress=told)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
    else:
        _tell(report, out)
    _tell_weakness(report)


def _ranks(text: str) -> tuple[int, int]:
    match = RANKS.fullmatch(text)
    if match is None:
        raise InvalidInput(f"--ranks '{text}'; expected the first and the last; pass 1-100, say")
    return int(match[1]), int(match[2])


def _check(out: Path, same_document: str, *, force: bool) -> None:
    if same_document not in ("drop", "keep"):
        raise InvalidInput(f"--same-document '{same_document}'; expected drop or keep")
    if out.exists() and not force:
        raise InvalidInput(
            f"'{out}' is there already; expected a path that is free; choose another, or pass "
            "--force to replace it"
        )


def _teller(shown: rich.progress.Progress) -> Callable[[Progress], None]:
    task = shown.add_task("reading the index", total=None)

    def tell(so_far: Progress) -> None:
        if not so_far.queries:
            read = counted(so_far.passages, "passage")
            shown.update(task, description=f"reading the index: {read}")
            return
        rate = so_far.done / max(so_far.seconds, 1e-9)
        shown.update(
            task,
            total=so_far.queries,
            completed=so_far.done,
            description=f"mining: {rate:.0f} queries/s",
        )

    return tell


def _tell(report: MiningReport, out: Path) -> None:
    typer.echo(
        f"{out} holds {counted(report.lists, 'list')}: {counted(report.negatives, 'negative')} and "
        f"{counted(report.strangers, 'random passage')}"
    )
    refused = [f"{report.refused[name]} {what}" for name, what in REFUSED.items()]
    typer.echo(f"passages refused: {', '.join(refused)}")
    for name, what in DROPPED.items():
        if report.dropped[name]:
            hint(f"{what}, left out: {report.dropped[name]}")


def _tell_weakness(report: MiningReport) -> None:
    """Say where the filters see less than they could."""
    if "dense" not in report.legs:
        hint("the index has no vectors: negatives were found by words alone")
    absent, rights = report.rights["absent"], sum(report.rights.values())
    if absent:
        hint(
            f"right texts that the index does not hold: {absent} of {rights}; their documents are "
            "unknown to the filters"
        )
    if part := report.rights["part"]:
        hint(f"right texts that are longer or shorter than a passage: {part} of {rights}")
