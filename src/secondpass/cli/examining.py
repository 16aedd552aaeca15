"""The command that looks at everything, and says what to do about what is amiss."""

from __future__ import annotations

import dataclasses
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from secondpass import build
from secondpass.cli.messages import counted
from secondpass.cli.options import Backend, IndexFile, Model, Offline, Revision, Store
from secondpass.errors import SecondpassError
from secondpass.settings import Settings
from secondpass.types import Finding

Sections = dict[str, list[Finding]]


def doctor(
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    index_file: IndexFile = None,
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON")] = False,
) -> None:
    """Look at the installation, the machine, a model and an index.

    Each thing amiss has a line of advice. The exit code is 1 where something keeps it from working.
    """
    flags = {
        "model": model,
        "revision": revision,
        "offline": offline,
        "backend": backend,
        "index": index_file,
        "store": store,
    }
    chosen = build.settings(flags)
    sections: Sections = {
        "installation": installation(),
        "machine": machine(chosen),
        f"model '{chosen.model}'": build.examined(chosen),
        f"index '{chosen.index}'": [index(chosen)],
    }
    amiss = sum(finding.amiss for findings in sections.values() for finding in findings)
    if as_json:
        typer.echo(json.dumps(as_objects(sections), ensure_ascii=False))
    else:
        print_sections(sections)
        typer.echo(f"\n{counted(amiss, 'thing')} amiss" if amiss else "\nall is well")
    if amiss:
        raise typer.Exit(1)


def installation() -> list[Finding]:
    """Versions, extras, and settings that nobody knows."""
    from secondpass.integrations.extras import extras

    python = f"{platform.python_implementation()} {platform.python_version()}"
    where = Path(__file__).resolve().parents[1]
    unknown = [
        Finding(name, "set, but no setting", "correct its name, or unset it")
        for name in build.unknown_variables()
    ]
    return [
        Finding("secondpass", f"{version('secondpass')}, {python}, {where}"),
        *unknown,
        *extras(),
    ]


def machine(chosen: Settings) -> list[Finding]:
    """What computes, and with which instructions."""
    from secondpass.engine.compute import Compute
    from secondpass.engine.cores import usable_cores

    cores = Finding("cores", f"{usable_cores()} that this process may use")
    try:
        from secondpass._native import instruction_sets, kernel_names
    except ImportError as error:
        advice = "install a C++ compiler and then secondpass anew: it will be many times faster"
        return [Finding("backend", f"numpy alone; no native kernels ({error})", advice), cores]
    wanted = chosen.instruction_set if chosen.instruction_set != "auto" else kernel_names()[0]
    advice = ""
    if wanted == "portable":
        advice = "no vector instructions are used: a newer processor will be many times faster"
    precision = Compute(chosen.precision, chosen.threads, chosen.instruction_set).precision
    has = ", ".join(instruction_sets()) or "none that the kernels use"
    return [
        Finding("backend", f"{chosen.backend}, precision {precision}"),
        Finding("instructions", f"{wanted}; the processor has {has}", advice),
        cores,
    ]


def index(chosen: Settings) -> Finding:
    """What the index holds; none is nothing amiss."""
    from secondpass.retrieval.stores.postings import Postings

    if not Path(chosen.index).exists():
        return Finding("index", "none there", "`secondpass index FILES` makes one")
    try:
        with build.index(chosen) as opened:
            info = opened.info()
    except SecondpassError as error:
        return Finding("index", str(error), "index the documents anew", amiss=True)
    made = "no vectors" if info.encoder is None else f"vectors of {info.encoder.name}"
    advice = ""
    if chosen.store == "sqlite" and not Postings(Path(chosen.index)).suits(info.passages):
        advice = (
            "pip install 'secondpass[tantivy]' and index once more: words are then found faster"
        )
    return Finding("index", f"{counted(info.passages, 'passage')}, {made}", advice)


def print_sections(sections: Sections) -> None:
    """Each section under its name, a line a finding, its advice below it."""
    for at, (name, findings) in enumerate(sections.items()):
        typer.echo(f"{'' if at == 0 else chr(10)}{name}")
        for finding in findings:
            mark = "amiss" if finding.amiss else "note" if finding.advice else "ok"
            typer.echo(f"  {mark:6} {finding.subject:14} {finding.found}")
            if finding.advice:
                typer.echo(f"  {'':6} {'':14} → {finding.advice}")


def as_objects(sections: Sections) -> dict[str, list[dict[str, object]]]:
    """The sections as JSON has them."""
    return {
        name: [dataclasses.asdict(finding) for finding in findings]
        for name, findings in sections.items()
    }
