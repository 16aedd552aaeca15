"""How does an answer look? A table for people, JSON and plain lines for programs."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from secondpass.cli.inputs import GivenText
from secondpass.cli.messages import hint
from secondpass.pipeline import Answer
from secondpass.types import Candidate, Expansion, Hit, Passage, Ranked, Window

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
UNSCORED = "–"  # in a table, for a text that the budget did not reach
SHOWN_CHARACTERS = 400  # of a passage in a table; the other formats show it whole


class Format(StrEnum):
    """How answers are printed; auto is a table on a terminal and plain text in a pipe."""

    auto = "auto"
    table = "table"
    text = "text"
    json = "json"
    jsonl = "jsonl"

    def resolved(self) -> Format:
        """The format itself, or what auto means where standard output leads now."""
        if self is not Format.auto:
            return self
        terminal = sys.stdout is not None and sys.stdout.isatty()
        return Format.table if terminal else Format.text


def print_answer(answer: Answer, form: Format) -> None:
    """An answer of the pipeline in one of the formats."""
    if form is Format.json:
        typer.echo(json.dumps(answer_object(answer), ensure_ascii=False))
    elif form is Format.jsonl:
        for hit in answer.hits:
            typer.echo(json.dumps(hit_object(hit), ensure_ascii=False))
    elif form is Format.text:
        for hit in answer.hits:
            score = hit.score if hit.probability is None else hit.probability
            typer.echo(f"{hit.rank}\t{score:.4g}\t{source(hit.passage)}\t{one_line(hit.text)}")
    else:
        _print_hits(answer)


def say_if_alone(answer: Answer) -> None:
    """Say on stderr that a query was not expanded although it should have been, and why."""
    if answer.expansion is not None and answer.expansion.failure is not None:
        hint(f"the query was asked alone, not expanded: {answer.expansion.failure}")


def answer_object(answer: Answer) -> dict[str, Any]:
    """An answer as JSON has it; the first three keys are what programs rely on."""
    return {
        "query": answer.query,
        "hits": [hit_object(hit) for hit in answer.hits],
        "timings_ms": {stage: round(ms, 3) for stage, ms in answer.timings_ms.items()},
        "blend": answer.blend,
        "expansion": expansion_object(answer.expansion),
        "candidates": {
            "found": answer.candidates,
            "blank": answer.blank,
            "identical": answer.identical,
            "near_duplicates": answer.near_duplicates,
            "windowed": answer.windowed,
            "truncated": answer.truncated,
            "unscored": answer.unscored,
            "below_score": answer.below_score,
            "below_probability": answer.below_probability,
        },
    }


def hit_object(hit: Hit) -> dict[str, Any]:
    """One hit as JSON has it: 'page' for a paged document, 'headings' for another."""
    passage = hit.passage
    place: dict[str, Any] = (
        {"headings": list(passage.headings)} if passage.page is None else {"page": passage.page}
    )
    return {
        "rank": hit.rank,
        "score": finite(hit.score),
        "probability": hit.probability,
        "text": hit.text,
        "document": hit.document,
        "path": passage.path,
        **place,
        "start": passage.start,
        "end": passage.end,
        "first_stage": first_stage_object(hit.first_stage),
        "order_score": hit.order_score,
        "title": passage.title,
        "metadata": dict(passage.metadata),
        "window": window_object(hit.window),
        "truncated": hit.ranked is not None and hit.ranked.truncated,
        "scored": hit.ranked is None or hit.ranked.scored,
        "same_as": hit.same_as,
    }


def first_stage_object(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON has it; `legs` are those of a hybrid first stage that found it."""
    legs = {name: {"rank": leg.rank, "score": leg.score} for name, leg in candidate.legs.items()}
    return {
        "rank": candidate.rank,
        "score": candidate.score,
        "legs": legs,
        "queries": dict(candidate.queries),
    }


def expansion_object(expansion: Expansion | None) -> dict[str, Any] | None:
    """What was asked beside the query as JSON has it; None where nothing was to be."""
    if expansion is None:
        return None
    return {
        "source": expansion.source,
        "queries": list(expansion.queries),
        "failure": expansion.failure,
    }


def _print_hits(answer: Answer) -> None:
    console = Console()
    if not answer.hits:
        dropped = answer.below_score + answer.below_probability
        below = f"; {dropped} of {answer.candidates} candidates below a threshold"
        console.print(f"nothing found{below if dropped else ''}", style="dim")
        return
    reranked = answer.hits[0].probability is not None
    table = Table(show_lines=True)
    for name in ("#", "moved", "prob.") if reranked else ("#", "score"):
        table.add_column(name, justify="right")
    table.add_column("passage", overflow="fold")
    for hit in answer.hits:
        numbers: list[str | Text] = [f"{hit.score:.3g}"]
        if hit.probability is not None:
            reached = hit.ranked is None or hit.ranked.scored
            numbers = [_moved(hit.moved), f"{hit.probability:.2f}" if reached else UNSCORED]
        passage = marked(excerpt(hit.text, answer.query), answer.query)
        same = "" if hit.same_as is None else f" nearly the same as {hit.same_as}"
        cell = Text.assemble((source(hit.passage), "cyan"), (same, "dim"), "\n", passage)
        table.add_row(str(hit.rank), *numbers, cell)
    console.print(table)
    console.print(_summary(answer), style="dim", highlight=False)


def _summary(answer: Answer) -> str:
    parts = [f"{answer.candidates} candidates"]
    if answer.expansion is not None:
        asked = "; ".join(one_line(query) for query in answer.expansion.queries)
        parts.append(f"asked too ({answer.expansion.source}): {asked or 'nothing'}")
    for count, what in (
        (answer.windowed, "read in windows"),
        (answer.truncated, "cut off"),
        (answer.unscored, "not scored within the budget"),
        (answer.blank, "blank, dropped"),
        (answer.identical, "with a text that another has too"),
        (answer.near_duplicates, "nearly the same as another"),
        (answer.below_score, "below the least score"),
        (answer.below_probability, "below the least probability"),
    ):
        if count:
            parts.append(f"{count} {what}")
    if answer.blend:
        parts.append(f"ordered by model + {answer.blend:g} first stage (z-scores)")
    times = answer.timings_ms
    parts.append(f"{times['retrieve']:.0f} ms to find, {times['rerank']:.0f} ms to rerank")
    return " · ".join(parts)


def print_ranked(
    ranked: Sequence[Ranked], given: Sequence[GivenText], form: Format, query: str
) -> None:
    """A reranker's lines in one of the formats; plain text is the texts alone, best first."""
    lines = [
        ranked_object(rank, line, given[line.index]) for rank, line in enumerate(ranked, start=1)
    ]
    if form is Format.json:
        typer.echo(json.dumps({"query": query, "ranked": lines}, ensure_ascii=False))
    elif form is Format.jsonl:
        for line in lines:
            typer.echo(json.dumps(line, ensure_ascii=False))
    elif form is Format.text:
        for line in lines:
            typer.echo(one_line(line["text"]))
    else:
        _print_ranked_table(ranked, given, query)


def _print_ranked_table(ranked: Sequence[Ranked], given: Sequence[GivenText], query: str) -> None:
    table = Table(show_lines=True)
    for name in ("#", "moved", "prob.", "score"):
        table.add_column(name, justify="right")
    table.add_column("text", overflow="fold")
    for at, line in enumerate(ranked):
        text = marked(excerpt(given[line.index].text_in_context, query), query)
        numbers = (UNSCORED, UNSCORED)
        if line.scored:
            numbers = (f"{line.probability:.2f}", f"{line.score:.2f}")
        table.add_row(str(at + 1), _moved(line.index - at), *numbers, text)
    Console().print(table)


def ranked_object(rank: int, line: Ranked, given: GivenText) -> dict[str, Any]:
    """One line of a reranker's answer as JSON has it; `id` only where the input had one."""
    return {
        "rank": rank,
        "index": given.index,
        "score": finite(line.score),
        "probability": line.probability,
        "text": given.text,
        **({} if given.id is None else {"id": given.id}),
        "window": window_object(line.window),
        "truncated": line.truncated,
        "scored": line.scored,
    }


def finite(score: float) -> float | None:
    """A score as JSON can have it: nothing for a text that the budget did not reach."""
    return score if math.isfinite(score) else None


def window_object(window: Window | None) -> dict[str, int] | None:
    """A window as JSON has it: offsets in characters."""
    return None if window is None else {"start": window.start, "end": window.end}


def _moved(ranks: int) -> Text:
    if ranks > 0:
        return Text(f"▲{ranks}", style="green")
    return Text(f"▼{-ranks}", style="red") if ranks < 0 else Text("=", style="dim")


def source(passage: Passage) -> str:
    """Where a passage stands, short enough to read: file, page or headings."""
    name = passage.document
    if passage.path is not None and passage.document == passage.path:
        path = Path(passage.path)
        name = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
    if passage.page is not None:
        name = f"{name} p.{passage.page}"
    elif passage.headings:
        name = f"{name} › {' › '.join(passage.headings)}"
    return one_line(name)


def one_line(text: str) -> str:
    """The text with every run of white space or control characters as one blank.

    A document may hold the escape sequences that clear a terminal or rename its window.
    """
    return " ".join(CONTROL.sub(" ", text).split())


def query_words(query: str) -> list[str]:
    """The parts of a query worth marking in a text, longest first: words, and runs of CJK."""
    from secondpass.retrieval.words import terms

    found = {
        term for term in terms(query) if len(term) > 2 or (len(term) > 1 and not term.isascii())
    }
    return sorted(found, key=lambda term: (-len(term), term))


def marked(text: str, query: str) -> Text:
    """The text with the query's words in bold."""
    shown = Text(text)
    for word in query_words(query):
        boundary = r"\b" if word.isascii() else ""
        shown.highlight_regex(
            re.compile(rf"{boundary}{re.escape(word)}{boundary}", re.IGNORECASE), "bold yellow"
        )
    return shown


def excerpt(text: str, query: str) -> str:
    """At most SHOWN_CHARACTERS of the text, the part that holds most of the query's words."""
    text = one_line(text)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    lowered = text.lower()
    words = query_words(query)
    starts = range(0, len(text) - SHOWN_CHARACTERS + 1, 40)
    best = max(starts, key=lambda at: sum(w in lowered[at : at + SHOWN_CHARACTERS] for w in words))
    piece = text[best : best + SHOWN_CHARACTERS]
    return f"{'…' if best else ''}{piece}{'…' if best + SHOWN_CHARACTERS < len(text) else ''}"
