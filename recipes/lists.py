"""Which lists make the next step? A pure function of the data, the recipe, the seed and the step.

So any worker can make any step, and a resumed run sees what an uninterrupted one would have seen.
numpy only: workers start quickly and touch no device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.augment import Vocabulary, among_strangers, query_from, vary
from recipes.corpus import BOS, CLOZE, EOS, QUESTION, Corpus, Ids
from recipes.mined import Mined

# Pairs of a row's length and the places of a list: about as many tokens in each list.
LENGTHS = (128, 192, 256, 384, 512)
LENGTH_SHARES = (0.25, 0.27, 0.25, 0.15, 0.08)
PLACES = (24, 16, 12, 10, 8)
SPECIALS = 4  # <s> query </s></s> passage </s>
QUERY_MOST = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """How lists are drawn. `tokens` is what a step holds at most.

    Shares are of lists, `strangers` of passages. `question_weight` is how much more often a real
    question is drawn than another query of a source of the same size.
    """

    tokens: int = 131072
    most_places: int = 24
    most_tokens: int = 512
    question_weight: float = 4.0
    noised: float = 0.12
    unmarked: float = 0.08
    cloze: float = 0.08
    first_sentence: float = 0.03
    strangers: float = 0.35
    hard: float = 0.6
    apart: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step: packed rows, longest first, and the lists that they make.

    ids uint16[tokens], starts int64[rows + 1]; lists int32[lists, places] names rows, -1 for none,
    the right passage first; teacher float32 alike; soft float32[lists] is 0 where the teacher has
    no opinion. For rows read apart, `sides` int32[pairs, 2] names the rows of query and passage
    and `lists` names pairs.
    """

    ids: Ids
    starts: NDArray[np.int64]
    lists: NDArray[np.int32]
    teacher: NDArray[np.float32]
    soft: NDArray[np.float32]
    sides: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One list before it is packed: a query, its passages, the right one first."""

    query: Ids
    passages: list[Ids]
    teacher: NDArray[np.float32]
    soft: float


class Lists:
    """Draws lists from a corpus and its mined candidates."""

    def __init__(self, corpus: Corpus, mined: Mined, recipe: Recipe, seed: int) -> None:
        self.corpus, self.mined, self.recipe, self.seed = corpus, mined, recipe, seed
        self.words = Vocabulary(np.asarray(corpus.terms), mined.idf, np.asarray(corpus.ends))

    @classmethod
    def open(cls, data: Path, mined: Path, recipe: Recipe, seed: int) -> Lists:
        """From the folders that `prepare` and mining wrote."""
        return cls(Corpus.load(data), Mined.load(mined), recipe, seed)

    @cached_property
    def drawn(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The queries to learn from, and the running sum of their shares."""
        usable = np.flatnonzero(self.mined.usable & ~np.asarray(self.corpus.held_out))
        weights = shares(self.corpus, usable, self.recipe.question_weight)
        return usable, np.cumsum(weights)

    @cached_property
    def passages_of(self) -> list[NDArray[np.int64]]:
        """The passages of each source."""
        source = np.asarray(self.corpus.passage_source)
        return [np.flatnonzero(source == at) for at in range(len(self.corpus.sources))]

    def batch(self, step: int) -> Batch:
        """The lists of this step, as many as fit."""
        rng = np.random.default_rng([self.seed, step])
        chosen: list[Question] = []
        used = 0
        while True:
            question = self.question(rng)
            cost = tokens_of(question, apart=self.recipe.apart)
            if used + cost > self.recipe.tokens:
                break
            used += cost
            chosen.append(question)
        if not chosen:
            raise ValueError(f"tokens={self.recipe.tokens} cannot hold a list; pass more")
        return self.packed(chosen)

    def packed(self, questions: list[Question]) -> Batch:
        """The lists as one batch, in the form that the recipe asks for."""
        if self.recipe.apart:
            return pack_apart(questions, self.corpus.prefixes)
        return pack(questions)

    def question(self, rng: np.random.Generator) -> Question:
        """One list, drawn and varied."""
        usable, sums = self.drawn
        at = int(usable[np.searchsorted(sums, rng.random() * sums[-1], side="right")])
        form = int(rng.choice(len(LENGTHS), p=LENGTH_SHARES))
        longest = min(LENGTHS[form], self.recipe.most_tokens)
        places = min(PLACES[form], self.recipe.most_places)
        query, positive, soft = self._query(at, rng)
        query = query[: min(QUERY_MOST, longest // 2)]
        others, teacher = self.wrong(at, places - 1, rng)
        room = longest - len(query) - SPECIALS
        ids = [positive, *(self.corpus.passages[int(i)] for i in others)]
        return Question(query, [self._form(each, query, room, rng) for each in ids], teacher, soft)

    def _query(self, at: int, rng: np.random.Generator) -> tuple[Ids, Ids, float]:
        """The query in one of its forms, the right passage, and whether the teacher knows both."""
        corpus, recipe = self.corpus, self.recipe
        positive = corpus.passages[int(corpus.positive[at])]
        draw, made = rng.random(), None
        if draw < recipe.cloze + recipe.first_sentence:
            made = query_from(positive, self.words.ends, rng, first=draw >= recipe.cloze)
        if made is not None:
            return *made, 0.0
        query = corpus.queries[at]
        draw = rng.random()
        if draw < recipe.noised and len(corpus.noised[at]):
            query = corpus.noised[at]
        elif draw < recipe.noised + recipe.unmarked and len(query) > 1:
            query = query[:-1] if self.words.ends[query[-1]] else query
        return query, positive, 1.0

    def wrong(
        self, at: int, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Wrong passages, hard ones and random ones, and the teacher's scores, the right's first."""
        candidates = np.asarray(self.mined.candidates[at])
        found = np.flatnonzero(candidates >= 0)
        hard = min(len(found), round(count * self.recipe.hard))
        # Half of the hard ones come from the nearest third, where mistakes would be made.
        near = found[: max(1, len(found) // 3)]
        first = rng.permutation(near)[: (hard + 1) // 2]
        rest = rng.permutation(np.setdiff1d(found, first))[: hard - len(first)]
        places = np.concatenate([first, rest]).astype(np.int64)
        strangers = self._strangers(at, count - len(places), rng)
        scores = np.asarray(self.mined.teacher[at], np.float32)
        floor = float(scores[found].min()) if len(found) else 0.0
        teacher = np.concatenate(
            [
                [float(self.mined.right[at])],
                scores[places],
                np.full(len(strangers), floor - 1),
            ]
        )
        others = np.concatenate([candidates[places], strangers])
        return others.astype(np.int64), teacher.astype(np.float32)

    def _strangers(self, at: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Random passages, half of them from the query's own source; never its right one."""
        corpus = self.corpus
        own = self.passages_of[int(corpus.source[at])]
        half = count // 2 if len(own) > 1 else 0
        drawn = np.concatenate(
            [
                own[rng.integers(0, len(own), half)] if half else np.zeros(0, np.int64),
                rng.integers(0, len(corpus.passages), count - half),
            ]
        )
        right = self.mined.is_right(int(corpus.same[at]), drawn)
        return drawn[~right]

    def _form(self, passage: Ids, query: Ids, room: int, rng: np.random.Generator) -> Ids:
        """The passage in a random form, so that its length tells nothing of its worth."""
        if rng.random() >= self.recipe.strangers:
            return vary(passage, query, self.words, room, rng)
        stranger = self.corpus.passages[int(rng.integers(len(self.corpus.passages)))]
        short = vary(passage, query, self.words, max(16, int(room * rng.uniform(0.3, 0.9))), rng)
        return among_strangers(short, stranger, room, rng)


def shares(
    corpus: Corpus, queries: NDArray[np.int64], question_weight: float
) -> NDArray[np.float64]:
    """float64[queries]: how often each is drawn, relative to the others.

    A source counts with its size to the power 0.75; questions more, cut-out sentences less.
    """
    source, kind = np.asarray(corpus.source)[queries], np.asarray(corpus.kind)[queries]
    sizes = np.bincount(source, minlength=len(corpus.sources)).astype(np.float64)
    weights = sizes[source] ** -0.25
    weights = np.where(kind == QUESTION, weights * question_weight, weights)
    return np.where(kind == CLOZE, weights * 0.5, weights)


def tokens_of(question: Question, *, apart: bool) -> int:
    """How many tokens a list takes in a pack."""
    lengths = sum(len(passage) for passage in question.passages)
    if apart:  # pairs are the larger side: both prefixes are in them
        return lengths + len(question.passages) * (len(question.query) + 8)
    return lengths + len(question.passages) * (len(question.query) + SPECIALS)


def pair_row(query: Ids, passage: Ids) -> Ids:
    """`<s> query </s></s> passage </s>`."""
    edge = np.array([BOS, EOS, EOS, EOS], np.uint16)
    return np.concatenate([edge[:1], query, edge[1:3], passage, edge[3:]])


def single_row(prefix: list[int], text: Ids) -> Ids:
    """`<s> prefix text </s>`, as the bi-encoder reads one side."""
    return np.concatenate([[BOS], prefix, text, [EOS]]).astype(np.uint16)


def pack(questions: list[Question]) -> Batch:
    """The lists as one batch of pairs."""
    rows = [pair_row(each.query, passage) for each in questions for passage in each.passages]
    packed, starts, place = longest_first(rows)
    return Batch(packed, starts, *tables(questions, place))


def pack_apart(questions: list[Question], prefixes: dict[str, list[int]]) -> Batch:
    """The lists as rows that are read apart, and the pairs that they make."""
    rows: list[Ids] = []
    sides: list[tuple[int, int]] = []
    for each in questions:
        query = len(rows)
        rows.append(single_row(prefixes["query"], each.query))
        rows += [single_row(prefixes["passage"], passage) for passage in each.passages]
        sides += [(query, at) for at in range(query + 1, len(rows))]
    packed, starts, place = longest_first(rows)
    pairs = place[np.array(sides)]
    return Batch(packed, starts, *tables(questions, np.arange(len(sides))), sides=pairs)


def longest_first(rows: list[Ids]) -> tuple[Ids, NDArray[np.int64], NDArray[np.int32]]:
    """The rows packed by falling length: their ids, their starts, and where each row went."""
    lengths = np.array([len(row) for row in rows])
    order = np.argsort(-lengths, kind="stable")
    place = np.empty(len(rows), np.int32)
    place[order] = np.arange(len(rows))
    starts = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    return np.concatenate([rows[i] for i in order]), starts, place


def tables(
    questions: list[Question], place: NDArray[np.generic]
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """`lists`, `teacher` and `soft` of a batch; `place` says which row each pair became."""
    shape = (len(questions), max(len(each.passages) for each in questions))
    lists, teacher = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    pair = 0
    for at, each in enumerate(questions):
        count = len(each.passages)
        lists[at, :count] = place[pair : pair + count]
        teacher[at, :count] = each.teacher
        pair += count
    return lists, teacher, np.array([each.soft for each in questions], np.float32)
