"""What training reads: a query with texts, how right each of them is, and a teacher's scores.

One JSON object a line: {"query", "texts", "labels", "scores"}; "scores" may be missing. Read are
also the forms of other tools: {"query" or "anchor", "positive" or "pos", "negatives" or "neg"}, each
one text or a list of texts, with "pos_scores" and "neg_scores" of a teacher.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InvalidInput
from secondpass.training.records import (
    numbered_objects,
    numbers_of,
    refused,
    text_of,
    texts_of,
    whole_file,
)

logger = logging.getLogger(__name__)

QUERY = ("query", "anchor")
POSITIVE = ("positive", "positives", "pos")
NEGATIVES = ("negatives", "negative", "neg")
FORMS = 'an object with "query", "texts" and "labels", or with "query", "positive" and "negatives"'


@dataclass(frozen=True, slots=True)
class TrainingList:
    """A query and its texts, the right ones first as `mine` writes them.

    `labels` has one a text: 1 right, 0 wrong, grades in between allowed. `scores` are a teacher's,
    higher for better, on a scale of its own; None where there was none. InvalidInput for a blank
    query, no texts, and labels or scores that do not fit the texts.
    """

    query: str
    texts: tuple[str, ...]
    labels: tuple[float, ...]
    scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.query.strip() or not self.texts:
            raise InvalidInput(
                f"the list of query '{self.query:.80}' has {len(self.texts)} texts; expected a "
                "query that is not blank and at least one text"
            )
        for name, values in (("labels", self.labels), ("scores", self.scores)):
            if values is not None and len(values) != len(self.texts):
                raise InvalidInput(
                    f"the list of query '{self.query:.80}' has {len(values)} {name} for "
                    f"{len(self.texts)} texts; expected one a text"
                )
        if not all(0 <= label <= 1 for label in self.labels):
            raise InvalidInput(
                f"labels={list(self.labels)} of query '{self.query:.80}'; expected numbers from 0, "
                "wrong, to 1, right"
            )
        if not all(math.isfinite(score) for score in self.scores or ()):
            raise InvalidInput(
                f"scores={list(self.scores or ())} of query '{self.query:.80}'; expected finite "
                "numbers"
            )


def read_lists(path: Path) -> Iterator[TrainingList]:
    """The lists of a file of JSON Lines, plain or '.gz', in order.

    Blank texts, and texts that a list repeats, are left out: of equal texts the one with the highest
    label stays, so that nothing right is also wrong. So are lists with a blank query or without any
    text. How many is logged as a warning at the end. InvalidInput names the file and the line.
    """
    left_out = dict.fromkeys(
        ("blank texts", "repeated texts", "lists without a query or a text"), 0
    )
    for number, record in numbered_objects(path):
        query, rows = _fields(record, path, number)
        kept = _distinct([row for row in rows if row[0].strip()])
        left_out["blank texts"] += sum(not row[0].strip() for row in rows)
        left_out["repeated texts"] += sum(bool(row[0].strip()) for row in rows) - len(kept)
        if not kept or not query.strip():
            left_out["lists without a query or a text"] += 1
            continue
        texts, labels, scores = zip(*kept, strict=True)
        taught = None if None in scores else scores
        try:
            one = TrainingList(query, texts, labels, taught)
        except InvalidInput as error:
            raise InvalidInput(f"'{path}' line {number}: {error}") from error
        yield one
    for what, count in left_out.items():
        if count:
            logger.warning("'%s': %s left out: %d", path, what, count)


def write_lists(path: Path, lists: Iterable[TrainingList]) -> int:
    """Write lists, one a line, in the place of what `path` had, gzip where it ends in '.gz'.

    Returns how many there were. The file appears when all of them are written, or not at all:
    where `lists` raises, or the disk is full, `path` stays as it was.
    """
    count = 0
    with whole_file(path) as file:
        for one in lists:
            record: dict[str, object] = {"query": one.query, "texts": one.texts}
            record["labels"] = [_short(float(label)) for label in one.labels]
            if one.scores is not None:
                record["scores"] = [_short(float(score)) for score in one.scores]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


Row = tuple[str, float, float | None]  # text, label, score


def _fields(record: Mapping[str, object], path: Path, number: int) -> tuple[str, list[Row]]:
    query = text_of(_first(record, QUERY))
    if query is None:
        raise refused(path, number, "has no query", FORMS)
    rows = _labelled(record, path, number) if "texts" in record else _parted(record, path, number)
    return query, rows


def _labelled(record: Mapping[str, object], path: Path, number: int) -> list[Row]:
    texts, labels = texts_of(record["texts"]), numbers_of(record.get("labels"))
    if texts is None or labels is None or len(labels) != len(texts):
        raise refused(path, number, '"texts" and "labels" do not fit', f"{FORMS}, a label a text")
    return _rows(texts, labels, _scores(record, "scores", len(texts), path, number))


def _parted(record: Mapping[str, object], path: Path, number: int) -> list[Row]:
    right = texts_of(_first(record, POSITIVE))
    if right is None:
        raise refused(path, number, 'has no "positive"', FORMS)
    given = _first(record, NEGATIVES)
    wrong = [] if given is None else texts_of(given)
    if wrong is None:
        raise refused(path, number, 'has "negatives" that are no texts', FORMS)
    scores = [
        *_scores(record, "pos_scores", len(right), path, number),
        *_scores(record, "neg_scores", len(wrong), path, number),
    ]
    if None in scores and len(set(scores)) > 1:
        raise refused(path, number, "has scores for a part of its texts", "all of them, or none")
    return _rows([*right, *wrong], [1.0] * len(right) + [0.0] * len(wrong), scores)


def _rows(
    texts: Sequence[str], labels: Sequence[float], scores: Sequence[float | None]
) -> list[Row]:
    return list(zip(texts, labels, scores, strict=True))


def _scores(
    record: Mapping[str, object], name: str, texts: int, path: Path, number: int
) -> list[float | None]:
    if record.get(name) is None:
        return [None] * texts
    scores = numbers_of(record[name])
    if scores is None or len(scores) != texts:
        raise refused(path, number, f'has "{name}" that do not fit', f"{texts} finite numbers")
    return list(scores)


def _first(record: Mapping[str, object], names: Sequence[str]) -> object:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    best: dict[str, Row] = {}
    for row in rows:
        known = best.setdefault(row[0], row)
        if row[1] > known[1]:
            best[row[0]] = row
    return list(best.values())


def _short(number: float) -> float:
    """The same number, written without a point where it is whole."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
