"""The command that draws an index: its passages in two dimensions, and what a query finds there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.answers import source
from secondpass.cli.messages import counted, hint
from secondpass.cli.options import (
    Backend,
    Depth,
    FirstStage,
    IndexFile,
    Model,
    Offline,
    Revision,
    Store,
    Where,
    parse_where,
)
from secondpass.cli.runs import run_file

if TYPE_CHECKING:
    from secondpass.picture.scene import Found
    from secondpass.retrieval import Index
    from secondpass.settings import Settings
    from secondpass.types import Filter


def draw(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write")],
    query: Annotated[str | None, typer.Option("--query", "-q", help="Mark what this finds")] = None,
    index_file: IndexFile = None,
    store: Store = None,
    projection: Annotated[str, typer.Option(help="pca, or umap: neighbours together")] = "pca",
    points: Annotated[int, typer.Option(help="Draw at most so many passages")] = 20_000,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Answers [default: 5]")] = None,
    depth: Depth = None,
    first_stage: FirstStage = None,
    where: Where = None,
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
) -> None:
    """Draw an index on one page of HTML.

    Each passage of an index with vectors is a point; the query, its candidates and the answers that
    the model chose are marked.
    """
    chosen = build.settings(
        {"index": index_file, "store": store, "offline": offline, "first_stage": first_stage}
        | {"depth": depth, "top_k": top_k}
        | {"model": model, "revision": revision, "backend": backend}
    )
    from secondpass.picture import Picture, page
    from secondpass.picture.scene import sample, scene

    with build.index(chosen) as opened:
        found = None if query is None else _found(chosen, opened, query, parse_where(where))
        hits = [] if found is None else found.hits
        passages, total = sample(opened.documents(), points, hits)
        vectors = opened.vectors([passage.id for passage in passages])
    shown = scene(passages, vectors, found, projection, source)
    drawn = f"{len(passages):,} of " if len(passages) < total else ""
    facts = f"{drawn}{total:,} passages of {chosen.index}, {vectors.shape[1]} dimensions by {projection}"
    content = page(Picture(query or chosen.index, facts, shown))
    with run_file(out) as file:
        file.write(content)
    hint(f"{out}: {counted(len(passages), 'passage')} drawn")
    if len(passages) < total:
        hint(f"{total - len(passages)} passages were left out, evenly; --points draws more")


def _found(chosen: Settings, opened: Index, query: str, where: Filter | None) -> Found:
    from secondpass.picture.scene import Found

    pipeline = build.pipeline(chosen, opened, where=where)
    hits = pipeline.search(query, max(pipeline.depth, chosen.top_k))
    return Found(query, opened.query_vector(query), hits, chosen.top_k)
