"""The commands that make, look at and change an index."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.messages import counted, error_line, progress
from secondpass.cli.options import IndexFile, Offline, Revision, Store

if TYPE_CHECKING:
    from secondpass.retrieval.migrate import Migration
    from secondpass.settings import Settings


def info(
    index_file: IndexFile = None,
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON")] = False,
) -> None:
    """Tell what an index holds.

    And which model and backend would rerank.
    """
    chosen = build.settings({"index": index_file, "store": store})
    with build.index(chosen) as opened:
        facts = dataclasses.asdict(opened.info())
    facts |= _engine_facts(chosen)
    if as_json:
        typer.echo(json.dumps(facts, default=str, ensure_ascii=False))
        return
    if (made := facts["encoder"]) is not None:
        facts["encoder"] = f"{made['name']}: {made['dimension']} numbers a passage"
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):18} {value}")


def _engine_facts(chosen: Settings) -> dict[str, object]:
    from secondpass.engine import Compute, ModelSpec
    from secondpass.engine.backends.table import choose_backend
    from secondpass.engine.locate import locate

    folder = locate(chosen.model, revision=chosen.revision, offline=True)
    spec = ModelSpec.read(folder)
    named = "" if spec.activation == "sigmoid" else f" (the checkpoint names {spec.activation})"
    asked = Compute(chosen.precision, chosen.threads, chosen.instruction_set)
    backend, compute = choose_backend(chosen.backend, spec, asked)
    try:
        from secondpass._native import instruction_sets
    except ImportError:
        native = "not built: no working C++ compiler at install; numpy computes"
    else:
        native = ", ".join(instruction_sets()) or "portable"
    return {
        "model": f"{chosen.model}: {spec.family}, {spec.layers} layers of {spec.hidden}",
        "probability": f"sigmoid of the logit{named}",
        "window_tokens": chosen.window_tokens or spec.window_tokens,
        "max_tokens": chosen.max_tokens or spec.max_tokens,
        "blend": spec.first_stage_weight if chosen.blend is None else chosen.blend,
        "backend": backend,
        "precision": compute.precision,
        "processor": native,
    }


def delete(
    documents: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of documents")],
    index_file: IndexFile = None,
    store: Store = None,
) -> None:
    """Remove documents from an index.

    A document is named by its record's id, or by its file's path.
    """
    chosen = build.settings({"index": index_file, "store": store})
    with build.index(chosen) as opened:
        known = opened.paths()
        # the id that `index` gives to a file, whether the file is still there or not
        files = {one: Path(os.path.abspath(one)).as_posix() for one in documents}  # noqa: PTH100
        found = {one: one if one in known else files[one] for one in documents}
        there = opened.delete(list(found.values()))
    unknown = [one for one, document in found.items() if document not in known]
    typer.echo(f"{counted(there, 'document')} removed")
    for one in unknown:
        error_line(f"'{one}' is no document of {chosen.index}")
    if unknown:
        raise typer.Exit(1)


def migrate(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The index to copy")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Where the copy goes")],
    source_store: Annotated[
        str, typer.Option("--from", metavar="STORE", help="What holds the index")
    ] = "sqlite",
    target_store: Annotated[
        str, typer.Option("--to", metavar="STORE", help="What holds the copy")
    ] = "sqlite",
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False,
) -> None:
    """Copy an index into another store.

    Passages and vectors are copied as they are, and compared at the end. The same command continues
    a copy that was interrupted.
    """
    with progress(counted=False) as shown:
        task = shown.add_task("copying", total=None)

        def on_progress(so_far: Migration) -> None:
            shown.update(task, description=f"copying: {counted(so_far.documents, 'document')}")

        done = build.migrate(
            (source_store, source), (target_store, target), on_progress=on_progress
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(done)))
        return
    there = done.documents - done.copied
    already = f", {there} of them there already" if there else ""
    typer.echo(
        f"{target} holds {counted(done.documents, 'document')}{already}, "
        f"{counted(done.passages, 'passage')}, the same as {source}: checksum {done.checksum}"
    )


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
