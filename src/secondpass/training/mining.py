"""Hard negatives: for each query passages that look right and are not.

pairs -> where the right texts stand -> a block of queries -> both legs -> filters -> lists -> a file
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.retrieval.index import Index
from secondpass.training.candidates import Searcher, Sheet
from secondpass.training.lists import TrainingList, write_lists
from secondpass.training.pairs import Pairs, Question
from secondpass.training.places import Places
from secondpass.training.selection import (
    MIXTURE_MARGIN,
    MODEL_MARGIN,
    Draw,
    Fresh,
    Mining,
    Option,
    Rights,
    Tally,
    admitted,
    in_turn,
)

# So many queries are encoded, and scored by a model, at a time.
BLOCK = 64

# So many passages are drawn for each random one that is wanted: some are refused.
DRAWN_PER_STRANGER = 4

REASONS = ("right", "same_document", "margin", "near_duplicate", "repeated")

Scores = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class MiningReport:
    """What came of it. Every query is in `lists` or among `dropped`, by the reason.

    `refused` counts passages by the filter that refused them: 'right' (a right text, or a part of
    one, or one that holds it), 'same_document', 'margin', 'near_duplicate', and 'repeated' (the same
    text again). `rights` counts right texts by what the index has of them: 'passage' (one is that
    text), 'part' (one holds it or is a part of it), 'absent'. `legs` were asked; `teacher` is
    'mixture' or 'model'.
    """

    lists: int
    negatives: int
    strangers: int
    dropped: dict[str, int]
    refused: dict[str, int]
    rights: dict[str, int]
    legs: tuple[str, ...]
    teacher: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far mining is: passages looked through first, then queries done of all."""

    passages: int
    done: int = 0
    queries: int = 0
    seconds: float = 0.0  # since the first query


def mine(
    pairs: Pairs,
    index: Index,
    out: Path,
    *,
    mining: Mining | None = None,
    teacher: CrossEncoder | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> MiningReport:
    """Write a training list for each query of `pairs` to `out`, which appears whole or not at all.

    The right texts come first, as the index has them where one of its passages is that text, then
    the negatives by rank, then random passages. Scores are the teacher's logits; without a model
    they are the mixture: the z-scores of both legs over what they found, added. Equal input gives
    an equal file, whatever the number of threads. InvalidInput for pairs without a question and for
    a path that cannot be written.
    """
    if not pairs.questions:
        raise InvalidInput("no query has a right text; expected at least one; look at the pairs")
    started = time.monotonic()
    run = _Run(index, pairs.questions, mining or Mining(), teacher, on_progress)
    lists = write_lists(out, run.lists())
    return MiningReport(
        lists=lists,
        negatives=run.negatives,
        strangers=run.strangers,
        dropped={
            "blank_query": pairs.blank_queries,
            "blank_right": pairs.blank_rights,
            "no_negative": len(pairs.questions) - lists,
        },
        refused={name: run.refused[name] for name in REASONS},
        rights=run.found,
        legs=run.legs,
        teacher="mixture" if teacher is None else "model",
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True)
class _Run:
    """One call of `mine`: its parts, and what it counts on the way."""

    index: Index
    questions: Sequence[Question]
    mining: Mining
    teacher: CrossEncoder | None
    on_progress: Callable[[Progress], None] | None
    legs: tuple[str, ...] = ()
    negatives: int = 0
    strangers: int = 0
    refused: Tally = field(default_factory=Tally)
    found: dict[str, int] = field(default_factory=dict)

    def lists(self) -> Iterator[TrainingList]:
        """The lists in the order of the questions, a block at a time."""
        rights = [right for question in self.questions for right in question.rights]
        places = Places.find(rights, self.index, self._tell_read)
        searcher = Searcher(self.index, places, self.mining.last_rank)
        self.legs = searcher.legs
        self.found = _counted(places)
        started = time.monotonic()
        ids = list(places.documents)
        for start in range(0, len(self.questions), BLOCK):
            block = self.questions[start : start + BLOCK]
            chances = [Random(f"{self.mining.seed} {question.key}") for question in block]
            far = [self._strangers(chance, ids) for chance in chances]
            sheets = searcher.sheets(block, far)
            draws = [
                self._draw(sheet, strangers, places.documents, chance)
                for sheet, strangers, chance in zip(sheets, far, chances, strict=True)
            ]
            yield from self._drawn(sheets, draws)
            if self.on_progress is not None:
                done = min(start + BLOCK, len(self.questions))
                seconds = time.monotonic() - started
                self.on_progress(Progress(len(ids), done, len(self.questions), seconds))
        if not self.negatives + self.strangers:
            counts = ", ".join(f"{name} {self.refused[name]}" for name in REASONS)
            raise InvalidInput(
                f"none of {len(self.questions)} queries has a negative (passages refused: {counts}); "
                "expected one that no filter refuses; index more documents, or loosen the filters"
            )

    def _tell_read(self, passages: int) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(passages))

    def _strangers(self, chance: Random, ids: Sequence[str]) -> list[str]:
        count = DRAWN_PER_STRANGER * self.mining.strangers if ids else 0
        return list(dict.fromkeys(ids[int(chance.random() * len(ids))] for _ in range(count)))

    def _draw(
        self, sheet: Sheet, strangers: Sequence[str], documents: Mapping[str, str], chance: Random
    ) -> Draw:
        rights = _rights(sheet)
        most = math.inf
        if self.teacher is None and rights.score is not None:
            most = rights.score - self._margin
        ranks = range(self.mining.first_rank, self.mining.last_rank + 1)
        window = sheet.ranked[self.mining.first_rank - 1 : self.mining.last_rank]
        options = [
            *(Option(id, rank, sheet.score(id)) for rank, id in zip(ranks, window, strict=False)),
            *(Option(id, None, sheet.score(id)) for id in strangers),
        ]
        # A passage that was added since the index was read is of a document that nobody knows.
        told = [(one, documents[one.id]) for one in options if one.id in documents]
        near = [one for one in told if one[0].rank is not None]
        kept = list(admitted(near, rights, self.mining, most, self.refused))
        far = admitted(told[len(near) :], rights, self.mining, most, self.refused)
        fresh = Fresh(rights.texts, self.mining.near_duplicate, self.index.get, self.refused)
        return Draw(in_turn(kept, chance), far, fresh, self.mining)

    def _drawn(self, sheets: Sequence[Sheet], draws: Sequence[Draw]) -> Iterator[TrainingList]:
        """The lists of a block, those left out that have no negative."""
        scores: list[Scores] = [tuple(sheet.right_scores) for sheet in sheets]
        if self.teacher is None:
            for draw in draws:
                draw.take([(option, option.score) for option in draw.turn()], math.inf)
        else:
            scores = self._judged(self.teacher, sheets, draws)
        for sheet, draw, taught in zip(sheets, draws, scores, strict=True):
            if draw.taken:
                self.strangers += (far := sum(one.rank is None for one in draw.taken))
                self.negatives += len(draw.taken) - far
                yield _list(sheet, draw.taken, taught)

    def _judged(
        self, teacher: CrossEncoder, sheets: Sequence[Sheet], draws: Sequence[Draw]
    ) -> list[Scores]:
        """The teacher's logits of the right texts; what is drawn is judged in turns of a block."""
        queries = [sheet.question.query for sheet in sheets]
        pairs = [(sheet.question.query, text) for sheet in sheets for text in _written(sheet)]
        logits = iter(teacher.score(pairs).tolist())
        rights = [[next(logits) for _ in sheet.places] for sheet in sheets]
        most = [max(scores) - self._margin for scores in rights]
        while offered := [(at, one) for at, draw in enumerate(draws) for one in draw.turn()]:
            pairs = [(queries[at], one.text) for at, one in offered]
            for (at, one), logit in zip(offered, teacher.score(pairs).tolist(), strict=True):
                draws[at].take([(one, logit)], most[at])
        return [tuple(scores) for scores in rights]

    @property
    def _margin(self) -> float:
        if self.mining.margin is not None:
            return self.mining.margin
        return MIXTURE_MARGIN if self.teacher is None else MODEL_MARGIN


def _counted(places: Places) -> dict[str, int]:
    counts = dict.fromkeys(("passage", "part", "absent"), 0)
    for place in places.by_text.values():
        counts["passage" if place.equal else "part" if place.passages else "absent"] += 1
    return counts


def _written(sheet: Sheet) -> list[str]:
    """The right texts as they are written: under title and headings, as negatives are.

    Else a model would learn who has a title.
    """
    return [
        right if place.equal is None else place.equal.text_in_context
        for right, place in zip(sheet.question.rights, sheet.places, strict=True)
    ]


def _rights(sheet: Sheet) -> Rights:
    known = [score for score in sheet.right_scores if score is not None]
    return Rights(
        texts=tuple(dict.fromkeys((*sheet.question.rights, *_written(sheet)))),
        passages={id for place in sheet.places for id in place.passages},
        documents={one for place in sheet.places for one in place.passages.values()},
        score=max(known, default=None),
    )


def _list(sheet: Sheet, taken: Sequence[Option], scores: Scores) -> TrainingList:
    far_below = max((one.rank or 0 for one in taken), default=0) + 1
    ordered = sorted(taken, key=lambda one: one.rank or far_below)
    rights = dict(zip(_written(sheet), scores, strict=True))
    known = [score for score in rights.values() if score is not None]
    taught = None
    if len(known) == len(rights):
        taught = tuple(round(score, 4) for score in (*known, *(one.score for one in ordered)))
    return TrainingList(
        query=sheet.question.query,
        texts=(*rights, *(one.text for one in ordered)),
        labels=(1.0,) * len(rights) + (0.0,) * len(ordered),
        scores=taught,
    )
