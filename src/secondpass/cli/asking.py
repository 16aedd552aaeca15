"""The command that answers in words: search, then a language model that cites what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass import build
from secondpass.cli.answers import expansion_object, hit_object, say_if_alone, source
from secondpass.cli.messages import error_line, hint
from secondpass.cli.options import (
    Backend,
    Depth,
    Expand,
    FirstStage,
    IndexFile,
    LanguageModel,
    LanguageModelName,
    LeastProbability,
    LeastScore,
    Model,
    NearDuplicates,
    Offline,
    Revision,
    Store,
    Where,
    parse_where,
)
from secondpass.errors import EngineError

if TYPE_CHECKING:
    from secondpass.answering import Citations
    from secondpass.endpoints import Chat
    from secondpass.pipeline import Answer
    from secondpass.settings import Settings

NOT_SET = 2  # the exit code where no language model is named
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


class Form(StrEnum):
    """How the answer is printed: as it comes, or as one object at the end."""

    text = "text"
    json = "json"


def ask(
    query: Annotated[str, typer.Argument(help="What to ask")],
    index_file: IndexFile = None,
    store: Store = None,
    llm: LanguageModel = None,
    llm_model: LanguageModelName = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", "-k", help="Passages [default: 5]")
    ] = None,
    depth: Depth = None,
    first_stage: FirstStage = None,
    expand: Expand = None,
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    min_score: LeastScore = None,
    min_probability: LeastProbability = None,
    near_duplicates: NearDuplicates = None,
    where: Where = None,
    form: Annotated[Form, typer.Option("--format", "-f", help="As it comes, or one object")] = (
        Form.text
    ),
) -> None:
    """Answer in words, with sources.

    The best passages go to a language model, and its answer cites them by number.
    """
    chosen = build.settings(
        {"index": index_file, "store": store, "offline": offline, "first_stage": first_stage}
        | {"depth": depth, "top_k": top_k, "expand": expand, "llm": llm, "llm_model": llm_model}
        | {"min_score": min_score, "min_probability": min_probability}
        | {"near_duplicates": near_duplicates}
        | {"model": model, "revision": revision, "backend": backend}
    )
    chat = _chat(chosen)
    with build.index(chosen) as opened:
        pipeline = build.pipeline(chosen, opened, where=parse_where(where))
        found = pipeline.explain(
            query,
            chosen.top_k,
            min_probability=chosen.min_probability,
            min_first_stage=chosen.min_score,
        )
    say_if_alone(found)
    text, failure = _answered(chat, found, form)
    _print_rest(found, text, failure, form)
    if failure is not None:
        error_line(f"the answer is {'incomplete' if text else 'missing'}: {failure}")
        raise typer.Exit(1)


def _chat(chosen: Settings) -> Chat:
    if chosen.llm is None:
        error_line(build.NO_LLM)
        raise typer.Exit(NOT_SET)
    return build.chat(chosen)


def _answered(chat: Chat, found: Answer, form: Form) -> tuple[str, str | None]:
    """What the model said, printed as it comes in text, and why it stopped before its end."""
    from secondpass.answering import answer_messages

    if not found.hits:
        hint("nothing found, so the language model was not asked")
        return "", None
    pieces: list[str] = []
    failure = None
    try:
        for piece in chat.stream(answer_messages(found.query, [hit.passage for hit in found.hits])):
            pieces.append(CONTROL.sub("", piece))
            if form is Form.text:
                typer.echo(pieces[-1], nl=False)
    except EngineError as error:
        failure = str(error)
    return "".join(pieces), failure


def _print_rest(found: Answer, text: str, failure: str | None, form: Form) -> None:
    from secondpass.answering import citations

    cited = citations(text, len(found.hits))
    if form is Form.json:
        typer.echo(json.dumps(_object(found, text, failure, cited), ensure_ascii=False))
    else:
        for line in _source_lines(found, text, cited.known):
            typer.echo(line)
    if cited.unknown:
        numbers = ", ".join(map(str, cited.unknown))
        hint(f"the answer cites what is none of the {len(found.hits)} passages: {numbers}")


def _object(found: Answer, text: str, failure: str | None, cited: Citations) -> dict[str, Any]:
    return {
        "query": found.query,
        "answer": text,
        "complete": failure is None,
        "failure": failure,
        "cited": list(cited.known),
        "unknown": list(cited.unknown),
        "sources": [
            {"number": number, **hit_object(hit)} for number, hit in enumerate(found.hits, start=1)
        ],
        "expansion": expansion_object(found.expansion),
    }


def _source_lines(found: Answer, text: str, cited: Sequence[int]) -> list[str]:
    lines = ([] if text.endswith("\n") else [""]) + [""] if text else []
    for number, hit in enumerate(found.hits, start=1):
        beside = "" if number in cited else " (not cited)"
        lines.append(f"[{number}] {source(hit.passage)}{beside if text else ''}")
    return lines
