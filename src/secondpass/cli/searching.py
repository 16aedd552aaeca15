"""The commands that answer queries: search an index, rerank texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass import build
from secondpass.cli.answers import Format, print_answer, print_ranked, say_if_alone
from secondpass.cli.inputs import STDIN, read_queries, read_texts
from secondpass.cli.messages import error_line, hint, progress
from secondpass.cli.options import (
    Also,
    Backend,
    Blend,
    Budget,
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
    OutputFormat,
    QueriesFile,
    Revision,
    RunFile,
    Store,
    Where,
    parse_where,
)
from secondpass.cli.runs import best_of_documents, run_file, run_lines
from secondpass.errors import InvalidInput

if TYPE_CHECKING:
    from secondpass.pipeline import Pipeline
    from secondpass.settings import Settings


def search(
    query: Annotated[str | None, typer.Argument(help="What to ask")] = None,
    index_file: IndexFile = None,
    store: Store = None,
    first_stage: FirstStage = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Hits [default: 5]")] = None,
    depth: Depth = None,
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    blend: Blend = None,
    budget_ms: Budget = None,
    min_score: LeastScore = None,
    min_probability: LeastProbability = None,
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="First stage only")] = False,
    near_duplicates: NearDuplicates = None,
    where: Where = None,
    expand: Expand = None,
    also: Also = None,
    llm: LanguageModel = None,
    llm_model: LanguageModelName = None,
    form: OutputFormat = Format.auto,
    queries: QueriesFile = None,
    run: RunFile = None,
) -> None:
    """Ask an index.

    A fast first stage finds candidates, and the model puts the best of them on top.
    """
    _check_together(query, queries, run)
    if also and (expand or queries is not None):
        raise InvalidInput(
            "--also gives further queries to one query; leave out --expand and --queries"
        )
    chosen = build.settings(
        {"index": index_file, "store": store, "offline": offline, "first_stage": first_stage}
        | {"depth": depth, "top_k": top_k, "blend": blend, "budget_ms": budget_ms}
        | {"min_score": min_score, "min_probability": min_probability}
        | {"near_duplicates": near_duplicates}
        | {"model": model, "revision": revision, "backend": backend}
        | {"expand": expand, "llm": llm, "llm_model": llm_model}
    )
    with build.index(chosen) as opened:
        pipeline = build.pipeline(
            chosen, opened, rerank=not no_rerank, where=parse_where(where), also=also or ()
        )
        if query is not None:
            answer = pipeline.explain(
                query,
                chosen.top_k,
                min_probability=chosen.min_probability,
                min_first_stage=chosen.min_score,
            )
            say_if_alone(answer)
            print_answer(answer, form.resolved())
        elif queries is not None and run is not None:
            _run(chosen, pipeline, read_queries(queries), run)


def _check_together(query: str | None, queries: Path | None, run: Path | None) -> None:
    if (query is None) == (queries is None):
        raise InvalidInput(
            'give either a query or --queries; for example: secondpass search "why?"'
        )
    if (queries is None) != (run is None):
        raise InvalidInput("--queries and --run belong together: many queries in, one run file out")


def _run(chosen: Settings, pipeline: Pipeline, queries: dict[str, str], run: Path) -> None:
    """Search for every query; the run file appears whole at the end, or not at all.

    A query that cannot be answered is named and left out; the exit code says so in the end.
    """
    failed = empty = count = alone = 0
    with run_file(run) as out, progress(counted=True) as shown:
        for name, text in shown.track(queries.items(), description="searching"):
            try:
                answer = pipeline.explain(
                    text,
                    max(pipeline.depth, chosen.top_k),
                    min_probability=chosen.min_probability,
                    min_first_stage=chosen.min_score,
                )
            except InvalidInput as error:
                error_line(f"query '{name}': {error}")
                failed += 1
                continue
            alone += answer.expansion is not None and answer.expansion.failure is not None
            lines = run_lines(name, best_of_documents(answer.hits)[: chosen.top_k])
            out.writelines(lines)
            count += len(lines)
            empty += not lines
    hint(f"queries: {len(queries)}; lines in '{run}': {count}")
    if alone:
        hint(f"queries that were asked alone, not expanded: {alone}")
    if empty:
        hint(f"queries that found nothing and have no line: {empty}")
    if failed:
        raise typer.Exit(1)


def rerank(
    query: Annotated[str, typer.Argument(help="What the texts should answer")],
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Texts, one a line, or JSON Lines")
    ] = STDIN,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", help="Best texts only")] = None,
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    budget_ms: Budget = None,
    form: OutputFormat = Format.auto,
) -> None:
    """Rank texts, a line each.

    They come from a file or from standard input, and the best come out first. A line is a text, or
    JSON: a string, or an object with "text" and perhaps "id" and "title". "index" in the output
    counts the input's lines from 0.
    """
    given = read_texts(file)
    chosen = build.settings(
        {
            "model": model,
            "revision": revision,
            "offline": offline,
            "backend": backend,
            "budget_ms": budget_ms,
        }
    )
    with build.reranker(chosen) as reranker:
        texts = [one.text_in_context for one in given]
        ranked = reranker.rerank(query, texts, budget_ms=chosen.budget_ms)
    if unscored := sum(not line.scored for line in ranked):
        hint(f"not scored within {chosen.budget_ms:g} ms: {unscored} of {len(ranked)} texts")
    ranked = ranked[:top_k]
    print_ranked(ranked, given, form.resolved(), query)
