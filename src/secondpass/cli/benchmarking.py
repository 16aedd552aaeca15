"""The command that measures how fast reranking is here, beside the other engines."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from secondpass import build
from secondpass.cli.inputs import read_texts
from secondpass.cli.messages import hint, progress
from secondpass.cli.options import Model, Offline, Revision
from secondpass.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from secondpass.evaluation import Setup, Workload

INSTALLED = "all-installed"
PRECISIONS = ("int8", "fp32")


def bench(
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    vs: Annotated[
        str | None,
        typer.Option(help="Engines to compare with, comma-separated, or all-installed"),
    ] = None,
    texts: Annotated[
        int | None, typer.Option(help="How many texts [default: 100, of few 8]")
    ] = None,
    length: Annotated[
        str, typer.Option(help="real (30 to 510 tokens), short (30), long (510) or few (100)")
    ] = "real",
    query: Annotated[str | None, typer.Option(help="A query of your own")] = None,
    passages: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Texts of your own, as for rerank")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often each engine scores all texts")] = 7,
    threads: Annotated[int | None, typer.Option(help="[default: the cores]")] = None,
    precision: Annotated[str, typer.Option(help="Of ours: int8, fp32 or both")] = "int8,fp32",
    environments: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Virtual environments of the engines, by their names"),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep converted checkpoints here")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: .svg or .html")
    ] = None,
) -> None:
    """Measure how fast reranking is on this machine.

    Engines take turns, each in a process of its own, on the same weights and texts.
    """
    from secondpass.evaluation import measure, report
    from secondpass.evaluation.chart import check_ending, draw

    if plot is not None:
        check_ending(plot)
    names = [*own_engines(precision), *peers(vs, environments)]
    flags = {"model": model, "revision": revision, "offline": offline, "threads": threads}
    chosen = build.settings(flags)
    with kept(cache) as folder, told_steps() as on_step:
        setup = build.speed_setup(chosen, folder)
        workload = chosen_workload(setup, length, texts, query, passages)
        result = measure(build.engines(names, environments), setup, workload, rounds, on_step)
        found = report(result, setup, workload)
    print_report(found)
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if plot is not None:
        draw(found, plot)


def own_engines(precision: str) -> list[str]:
    """The names of our engines for '--precision int8,fp32'."""
    asked = [one.strip() for one in precision.split(",") if one.strip()]
    for one in asked:
        if one not in PRECISIONS:
            raise UnknownName("precision", one, PRECISIONS)
    if not asked:
        raise InvalidInput("--precision names none; expected int8, fp32 or int8,fp32")
    return [f"secondpass-{one}" for one in dict.fromkeys(asked)]


def peers(vs: str | None, environments: Path | None) -> list[str]:
    """The engines that '--vs' asks for; all that have their packages here for 'all-installed'."""
    from secondpass.evaluation.peers.table import PEERS

    if vs != INSTALLED:
        asked = [one.strip() for one in (vs or "").split(",") if one.strip()]
        for one in asked:
            if one not in PEERS:
                raise UnknownName("engine", one, [INSTALLED, *PEERS])
        return list(dict.fromkeys(asked))
    return [
        name
        for name, entry in PEERS.items()
        if (environments is not None and (environments / name).is_dir())
        or all(find_spec(module.partition(".")[0]) for module in entry.modules)
    ]


def chosen_workload(
    setup: Setup, length: str, texts: int | None, query: str | None, passages: Path | None
) -> Workload:
    """Our texts, or those that the user gave."""
    from secondpass.engine.pairs import PairTokenizer
    from secondpass.engine.spec import ModelSpec
    from secondpass.evaluation import given_workload, make_workload

    vocabulary = ModelSpec.read(setup.model).vocabulary
    tokenizer = PairTokenizer.load(setup.model, vocabulary=vocabulary)

    def spans(text: str) -> Sequence[tuple[int, int]]:
        (tokens,) = tokenizer.encode([text])
        return [(int(start), int(end)) for start, end in tokens.spans]

    if (query is None) != (passages is None):
        raise InvalidInput("--query and --passages belong together: one query and its texts")
    if query is not None and passages is not None:
        given = [one.text_in_context for one in read_texts(passages)]
        return given_workload(query, given[:texts], spans)
    return make_workload(length, spans, count=texts, most=setup.max_tokens)


@contextmanager
def kept(cache: Path | None) -> Iterator[Path]:
    """The folder for converted checkpoints; a temporary one where none was named."""
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        yield cache
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@contextmanager
def told_steps() -> Iterator[Callable[[str], None]]:
    """A function that shows on the terminal what is being done."""
    with progress(counted=False) as display:
        task = display.add_task("", total=None)
        yield lambda what: display.update(task, description=what)


def print_report(found: Mapping[str, Any]) -> None:
    """A table (median and least ms, agreement with our fp32), and on stderr what was refused."""
    work, model = found["workload"], found["model"]
    console = Console()
    console.print(
        f"{work['texts']} texts, {work['mean_tokens']:.0f} tokens on average, {model['name']} "
        f"({model['layers']} layers of {model['hidden']}), {found['threads']} threads",
        style="italic",
        highlight=False,
    )
    console.print(_table(found))
    for one in found["engines"]:
        remark = f"; {one['remark']}" if one["remark"] else ""
        how = f"{one['engine']}: {one['policy']}{_share(one['share_of_bound'])}{remark}"
        console.print(how, style="dim", highlight=False)
    for name, reason in found["refused"].items():
        hint(f"not measured: {name}: {' '.join(reason.split())}")


def _table(found: Mapping[str, Any]) -> Table:
    """As narrow as it can be: with the longest of names it fits into 80 columns."""
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("engine", no_wrap=True)
    for name in ("ms", "min", "p95", "texts/s", "ratio", "MB", "corr.", "diff."):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found["engines"]:
        table.add_row(
            one["engine"],
            *(_ms(one[name]) for name in ("median_ms", "min_ms", "p95_ms")),
            f"{one['texts_s']:.0f}",
            _number(one["ratio"], ".2f"),
            _number(one["resident_mb"], ".0f"),
            _number(one["correlation"], ".3f"),
            _difference(one["largest_difference"]),
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else format(value, ".1f" if value < 100 else ".0f")


def _difference(value: float) -> str:
    return format(value, ".3f" if value < 1 else ".1f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _share(share: float | None) -> str:
    return "" if share is None else f"; {share:.0%} of the processor's peak"
