"""The options that several commands share, each explained once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli.answers import Format
from secondpass.errors import InvalidInput
from secondpass.types import Filter, Range, Scalar

IndexFile = Annotated[
    str | None,
    typer.Option("--index", "-i", metavar="FILE", help="The index [default: secondpass.index]"),
]
Store = Annotated[
    str | None, typer.Option("--store", help="What holds the index [default: sqlite]")
]
FirstStage = Annotated[
    str | None,
    typer.Option("--first-stage", help="lexical, dense or hybrid [default: hybrid with vectors]"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Bundled model, folder or hub name [default: mini]"),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model")
]
Offline = Annotated[
    bool | None, typer.Option("--offline", help="Never touch the network", show_default=False)
]
Backend = Annotated[str | None, typer.Option("--backend", help="What computes [default: auto]")]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget-ms", metavar="MS", help="Time for the model; what it misses stays below"
    ),
]
Depth = Annotated[
    int | None, typer.Option("--depth", "-d", help="Candidates to rerank [default: 50]")
]
Blend = Annotated[
    float | None, typer.Option(help="Weight of the first stage's score [default: the model's own]")
]
LeastScore = Annotated[
    float | None, typer.Option(help="Drop candidates of a lower first-stage score")
]
LeastProbability = Annotated[
    float | None, typer.Option(help="Drop hits to which the model gives less")
]
Expand = Annotated[
    int | None,
    typer.Option(
        "--expand", metavar="N", help="Ask N further queries: from --llm, or from the first answers"
    ),
]
Also = Annotated[
    list[str] | None, typer.Option("--also", metavar="QUERY", help="Ask this query too; repeatable")
]
LanguageModel = Annotated[
    str | None,
    typer.Option("--llm", metavar="URL", help="OpenAI-compatible endpoint, up to /v1"),
]
LanguageModelName = Annotated[
    str | None, typer.Option("--llm-model", metavar="NAME", help="The model to ask there")
]
NearDuplicates = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Passages that overlap by so much share a score: 0.9"),
]
QueriesFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help='Many queries: JSON Lines of {"_id", "text"}')
]
RunFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a TREC run of document ids")
]
OutputFormat = Annotated[
    Format, typer.Option("--format", "-f", help="auto: a table on a terminal, text in a pipe")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COND", help="Metadata: lang=en, year>=2020, lang=en,zh"),
]

CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|=)\s*(?![=<>])(.*?)\s*", re.DOTALL)


def parse_where(conditions: Sequence[str] | None) -> Filter | None:
    """The filter that `--where` options ask for; values are read as JSON where they are JSON.

    Equality asks for a text too where the value reads as a number or a flag (year=2020 finds 2020
    and "2020"). Several bounds on one key make one range. Raises InvalidInput for anything else.
    """
    parsed: dict[str, Scalar | Sequence[Scalar] | Range] = {}
    for condition in conditions or ():
        match = CONDITION.fullmatch(condition)
        if match is None:
            raise InvalidInput(
                f"--where '{condition}' is no condition; expected key=value, key=one,two, "
                "key>=value or key<=value"
            )
        key, sign, text = match.groups()
        before = parsed.get(key)
        if sign == "=" and before is None:
            parsed[key] = _values(text)
        elif sign != "=" and (before is None or isinstance(before, Range)):
            low, high = (before.at_least, before.at_most) if before else (None, None)
            value = _scalar(text)
            parsed[key] = Range(value, high) if sign == ">=" else Range(low, value)
        else:
            raise InvalidInput(
                f"--where names '{key}' twice; expected one value or list, or one bound of each kind"
            )
    return parsed or None


def _values(text: str) -> Scalar | list[Scalar]:
    parts = [text] if isinstance(_json(text), str) else text.split(",")
    values: list[Scalar] = []
    for part in parts:
        value = _scalar(part)
        values.append(value)
        if not isinstance(value, str):
            values.append(part)
    return values[0] if len(values) == 1 else values


def _scalar(text: str) -> Scalar:
    value = _json(text)
    return value if isinstance(value, str | int | float | bool) else text


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return None
    return value
