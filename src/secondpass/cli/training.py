"""The commands that make a model: train one by a recipe, and ask a stronger one for its scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.messages import counted, hint, progress
from secondpass.cli.options import Offline

if TYPE_CHECKING:
    from rich.progress import TaskID

    from secondpass.training.progress import Watch
    from secondpass.training.run import Trained

Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="FILE", help="Lists, .jsonl or .jsonl.gz; repeatable"),
]
Start = Annotated[
    str | None, typer.Option("--from", metavar="MODEL", help="What to begin with [default: mini]")
]
Out = Annotated[str | None, typer.Option("--out", metavar="DIR", help="The new folder")]
Layers = Annotated[
    int | None, typer.Option(help="Keep so many layers, evenly spread [default: all]")
]
Teachers = Annotated[
    list[str] | None,
    typer.Option("--teacher", metavar="MODEL", help="A stronger cross-encoder; repeatable"),
]
Shares = Annotated[
    list[float] | None,
    typer.Option("--teacher-share", metavar="X", help="How much each teacher counts"),
]
TeacherWeight = Annotated[
    float | None, typer.Option(help="Of the lists' scores beside the labels [default: 0.5]")
]
Temperature = Annotated[float | None, typer.Option(help="What scores are divided by [default: 1]")]
Loss = Annotated[
    str | None, typer.Option(help="lambda, listnet, plistmle or ranknet [default: lambda]")
]
Pointwise = Annotated[
    float | None, typer.Option(help="Weight of the pointwise term [default: 0.2]")
]
Rate = Annotated[
    float | None, typer.Option(help="How fast it learns at most [default: 3e-5; late join 1e-4]")
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data [default: 2]")]
Steps = Annotated[int | None, typer.Option(help="At most so many steps")]
BatchTokens = Annotated[int | None, typer.Option(help="Tokens a step [default: 8192]")]
MaxTokens = Annotated[
    int | None, typer.Option(help="Longest row [default: the start model's window]")
]
Seed = Annotated[int | None, typer.Option(help="[default: 0]")]
Validation = Annotated[
    str | None, typer.Option(metavar="FILE", help="Lists to measure on [default: a share]")
]
ValidationShare = Annotated[
    float | None, typer.Option(help="Queries that are held out [default: 0.1]")
]
CheckEvery = Annotated[
    int | None, typer.Option(help="Steps between measures [default: a tenth of the run]")
]
Patience = Annotated[
    int | None, typer.Option(help="Measures without a better one; 0: no end [default: 5]")
]
Precision = Annotated[str | None, typer.Option(help="auto, bf16 or fp32 [default: auto]")]
Device = Annotated[str | None, typer.Option(help="auto or cpu [default: auto]")]
MostCost = Annotated[float | None, typer.Option(help="nDCG@10 that int8 may cost [default: 0.005]")]
Licence = Annotated[str | None, typer.Option(help="Of the new model, for its card")]
Language = Annotated[
    list[str] | None, typer.Option(help="Of the new model, for its card; repeatable")
]
RecipeFile = Annotated[Path | None, typer.Argument(metavar="RECIPE", help="A TOML file")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew after a kill")]
Keep = Annotated[bool, typer.Option("--keep-checkpoints", help="Keep OUT.training")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object")]


def train(
    recipe: RecipeFile = None,
    data: Data = None,
    start: Start = None,
    out: Out = None,
    layers: Layers = None,
    teacher: Teachers = None,
    teacher_share: Shares = None,
    teacher_weight: TeacherWeight = None,
    temperature: Temperature = None,
    loss: Loss = None,
    pointwise: Pointwise = None,
    learning_rate: Rate = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_tokens: BatchTokens = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    validation: Validation = None,
    validation_share: ValidationShare = None,
    check_every: CheckEvery = None,
    patience: Patience = None,
    precision: Precision = None,
    device: Device = None,
    most_cost: MostCost = None,
    licence: Licence = None,
    language: Language = None,
    restart: Restart = False,
    keep_checkpoints: Keep = False,
    offline: Offline = None,
    as_json: AsJson = False,
) -> None:
    """Train a cross-encoder on lists of right and wrong texts.

    Options win over what the recipe says. The same command goes on with a run that was killed. The
    model is calibrated, exported to int8 as well, and measured on held-out queries; its card says how.
    """
    options = dict(locals())  # by the names of the recipe's fields
    from secondpass.training.recipe import Recipe
    from secondpass.training.run import train as train_by

    asked = Recipe.read({one.name: options[one.name] for one in fields(Recipe)}, recipe)
    chosen = build.settings({"offline": offline})
    with watched() as watch:
        done = train_by(
            asked,
            restart=restart,
            keep_checkpoints=keep_checkpoints,
            offline=chosen.offline,
            watch=watch,
        )
    if as_json:
        typer.echo(json.dumps(asdict(done), default=str, ensure_ascii=False))
    else:
        print_trained(done)


def distil(
    teacher: Teachers = None,
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The scored lists, .jsonl or .jsonl.gz")
    ] = None,
    teacher_share: Shares = None,
    offline: Offline = None,
    as_json: AsJson = False,
) -> None:
    """Ask a stronger model, or several, for the scores of lists.

    `train` then learns from the scores beside the labels. Several teachers are a mixture: their scores
    are put on one scale in each list. The same command goes on with a run that was killed.
    """
    from secondpass.errors import InvalidInput
    from secondpass.training.distilling import Mixture, check_out
    from secondpass.training.distilling import distil as distil_by
    from secondpass.training.run import read_data

    mixture = Mixture(tuple(teacher or ()), tuple(teacher_share or ()))
    if not data or out is None:
        raise InvalidInput(
            "--data and --out are needed: the lists to score, and the file that they go to"
        )
    check_out(out)
    _, lists = read_data(data)
    chosen = build.settings({"offline": offline})
    with watched() as watch:
        done = distil_by(lists, out, mixture, offline=chosen.offline, watch=watch)
    if done.left_out:
        hint(f"{counted(done.left_out, 'list')} left out: the query fills a teacher")
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(
            f"{out}: {counted(done.lists, 'list')}, {counted(done.texts, 'text')} scored by "
            f"{', '.join(mixture.teachers)}"
        )


@contextmanager
def watched() -> Iterator[Watch]:
    """Shows a run on stderr: bars on a terminal, else a line a minute; and the lines worth keeping."""
    from secondpass.training.progress import Minutes, Watch

    with progress(counted=True) as display:
        tasks: dict[str, TaskID] = {}
        minutes = Minutes(hint)

        def at(stage: str, done: int, total: int) -> None:
            if display.disable:
                minutes.at(stage, done, total)
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total)
            display.update(tasks[stage], completed=done, total=total)

        def say(line: str) -> None:
            if display.disable:
                hint(line)
            else:
                display.console.print(f"secondpass: {line}", markup=False, highlight=False)

        yield Watch(say=say, at=at)


def print_trained(done: Trained) -> None:
    """Where the model is, and how good."""
    measures = done.measures
    before = "" if measures.start is None else f"before {measures.start:.4f}, "
    line = measures.quality.calibrated
    typer.echo(
        f"{done.out}: {done.steps} steps on {counted(done.lists, 'list')}, the best after "
        f"{done.best_step}"
    )
    typer.echo(
        f"nDCG@10 on {counted(measures.lists, 'held-out list')}: {before}"
        f"now {measures.quality.fp32:.4f}, int8 {measures.quality.int8:.4f}"
    )
    typer.echo(
        f"calibration error: {line.error_after:.4f}, before the line {line.error_before:.4f}"
    )
