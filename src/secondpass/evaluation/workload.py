"""What is measured? One query and texts of a wanted length, the same ones for every engine.

sentences of prose.py, drawn by a fixed seed -> texts whose rows (query and specials too) have the
wanted numbers of tokens, by the model's own tokenizer
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from secondpass.errors import InvalidInput, UnknownName
from secondpass.evaluation.prose import CHINESE, ENGLISH, QUERY

# Characters of each of a text's tokens, in order: CrossEncoder.token_spans.
Spans = Callable[[str], Sequence[tuple[int, int]]]

SEED = 20
LONGEST = 510
MEDIAN, SPREAD = 110, 0.79  # of `real`: log-normal with a mean of 150, less what the cap takes
LENGTHS = ("real", "short", "long", "few")
CHINESE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Workload:
    """A query and its texts; `tokens` are the lengths of the rows that a model gets to read.

    `query_tokens` of a row are the query and the specials around it.
    """

    name: str
    query: str
    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    seed: int | None = None
    query_tokens: int = 0


def row_lengths(kind: str, count: int, most: int) -> list[int]:
    """The wanted lengths of `count` rows in tokens, ascending and at most `most`.

    'real' takes the quantiles of a log-normal distribution, so that few rows have its shape too.
    """
    most = min(most, LONGEST)
    if kind not in LENGTHS:
        raise UnknownName("length", kind, LENGTHS)
    if kind == "real":
        normal = NormalDist()
        steps = (normal.inv_cdf((at + 0.5) / count) for at in range(count))
        return [min(most, round(MEDIAN * 2.718281828 ** (SPREAD * step))) for step in steps]
    return [min(most, {"short": 30, "long": LONGEST, "few": 100}[kind])] * count


def make_workload(
    kind: str, spans: Spans, *, count: int | None = None, most: int = 512, seed: int = SEED
) -> Workload:
    """`count` different texts (100, of 'few' 8) with rows of the lengths that `kind` names.

    A text ends within a sentence where its length asks for it. Rows count the query and three
    specials; a text keeps at least three tokens, so that a small `most` is passed by short texts.
    """
    count = (8 if kind == "few" else 100) if count is None else count
    if count < 1:
        raise InvalidInput(f"texts={count} leaves nothing to measure; pass 1 or more")
    drawn = random.Random(seed)
    around = len(spans(QUERY)) + 3
    texts: dict[str, int] = {}
    wanted = row_lengths(kind, count, most)
    drawn.shuffle(wanted)
    for tokens in wanted:
        text, length = _draw(max(3, tokens - around), spans, drawn)
        while text in texts:  # engines may score equal texts once
            text, length = _draw(max(3, tokens - around), spans, drawn)
        texts[text] = length + around
    return Workload(kind, QUERY, tuple(texts), tuple(texts.values()), seed, around - 1)


def given_workload(query: str, texts: Sequence[str], spans: Spans) -> Workload:
    """The user's own texts, equal ones once."""
    if not query.strip() or not texts:
        raise InvalidInput("a query and at least one passage are needed; one of them is empty")
    around = len(spans(query)) + 3
    unique = list(dict.fromkeys(texts))
    tokens = tuple(len(spans(text)) + around for text in unique)
    return Workload("given", query, tuple(unique), tokens, query_tokens=around - 1)


def _draw(tokens: int, spans: Spans, drawn: random.Random) -> tuple[str, int]:
    """A text of so many tokens, made of sentences of one language."""
    chinese = drawn.random() < CHINESE_SHARE
    sentences, blank = (CHINESE, "") if chinese else (ENGLISH, " ")
    text = drawn.choice(sentences)
    while len(found := spans(text)) < tokens:
        text += blank + drawn.choice(sentences)
    return text[: found[tokens - 1][1]], tokens
