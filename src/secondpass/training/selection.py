"""Which passages become the negatives of a query? Those that are wrong for sure, half of them hard.

candidates -> right? same document? too good? -> hard and other ones in turn -> near-duplicates? -> taken
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain, islice, zip_longest
from random import Random

from secondpass.duplicates import Shingles, overlap, shingles
from secondpass.errors import InvalidInput
from secondpass.types import Passage

# So few shingles are a phrase, which a longer text may hold by chance.
LEAST_CONTAINED = 8

# The legs are what makes a passage hard, so the mixture refuses only what it puts far above the right
# text: the bundled models were trained on negatives with the same margin. A model is believed sooner:
# it gives what answers a query too about as much as the right text.
MIXTURE_MARGIN = -1.5
MODEL_MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class Mining:
    """Which negatives are wanted, and what counts as a false one.

    `negatives` come from the mixture's ranks `first_rank` to `last_rank`, half of them from the
    hardest third; `strangers` from the whole index. Refused is what overlaps with a right text by
    `near_duplicate`, what comes from a right text's document unless `same_document`, and what the
    teacher scores higher than the best right text's score less `margin`. None takes
    MIXTURE_MARGIN, in deviations, or MODEL_MARGIN, in logits.
    """

    first_rank: int = 1
    last_rank: int = 100
    negatives: int = 8
    strangers: int = 2
    margin: float | None = None
    near_duplicate: float = 0.8
    same_document: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.first_rank <= self.last_rank:
            raise InvalidInput(
                f"ranks {self.first_rank}-{self.last_rank}; expected two whole numbers from 1, the "
                "smaller one first; pass 1-100, say"
            )
        if self.negatives < 0 or self.strangers < 0 or self.negatives + self.strangers == 0:
            raise InvalidInput(
                f"{self.negatives} negatives and {self.strangers} random ones; expected 1 or more in "
                "all, and none below 0"
            )
        if self.margin is not None and math.isnan(self.margin):
            raise InvalidInput("margin=nan; expected a number; leave it out for the usual one")
        if not 0 < self.near_duplicate <= 1:
            raise InvalidInput(
                f"near-duplicates at {self.near_duplicate}; expected a share above 0 and up to 1, such "
                "as 0.8"
            )


@dataclass(frozen=True, slots=True)
class Option:
    """A passage that may become a negative: its rank, None for a stranger, and its score.

    `text` is under title and headings, as a model reads it.
    """

    id: str
    rank: int | None
    score: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """What is right for a query: texts, passages of the index, their documents, the best score.

    `score` is the mixture's; None where it does not know any of them.
    """

    texts: Sequence[str]
    passages: Set[str]
    documents: Set[str]
    score: float | None


class Tally(Counter[str]):
    """How many passages were refused, by reason."""


def admitted(
    options: Iterable[tuple[Option, str]],
    rights: Rights,
    mining: Mining,
    most: float,
    refused: Tally,
) -> Iterator[Option]:
    """Those options that are not known to be right, and whose score is at most `most`.

    Each comes with the document that it is from.
    """
    for option, document in options:
        if option.id in rights.passages:
            refused["right"] += 1
        elif document in rights.documents and not mining.same_document:
            refused["same_document"] += 1
        elif option.score > most:
            refused["margin"] += 1
        else:
            yield option


def in_turn(ranked: Sequence[Option], chance: Random) -> list[Option]:
    """The options, best first, in the order of taking: one of the hardest third, one of the rest.

    Any first few of them are so mixed, and each of either part comes as likely as another.
    """
    third = math.ceil(len(ranked) / 3)
    hard, rest = _shuffled(ranked[:third], chance), _shuffled(ranked[third:], chance)
    return [one for one in chain.from_iterable(zip_longest(hard, rest)) if one is not None]


def _shuffled(options: Sequence[Option], chance: Random) -> list[Option]:
    # Random.random gives the same numbers in every version of Python, Random.shuffle need not.
    keys = [chance.random() for _ in options]
    return [options[at] for at in sorted(range(len(options)), key=keys.__getitem__)]


@dataclass(frozen=True, slots=True)
class Fresh:
    """Lets through what says something else than the right texts and than what came before.

    `get` finds passages by their ids; those that are gone are left out.
    """

    texts: Sequence[str]
    threshold: float
    get: Callable[[Sequence[str]], Sequence[Passage]]
    refused: Tally
    seen: set[str] = field(default_factory=set)

    def of(self, options: Iterable[Option]) -> Iterator[Option]:
        """The options with their texts, each looked at when it is asked for."""
        rights = [shingles(text) for text in self.texts]
        for option in options:
            for passage in self.get([option.id]):
                text = passage.text_in_context
                known = text in self.seen
                self.seen.add(text)
                if known:
                    self.refused["repeated"] += 1
                elif self._is_right(text, shingles(passage.text), rights):
                    self.refused["near_duplicate"] += 1
                else:
                    yield replace(option, text=text)

    def _is_right(self, text: str, found: Shingles, rights: Sequence[Shingles]) -> bool:
        return text in self.texts or any(
            nearly_equal(found, right, self.threshold) for right in rights
        )


class Draw:
    """The negatives of one query as they are chosen: a turn offers some, which are taken or refused."""

    def __init__(
        self,
        ranked: Sequence[Option],
        strangers: Iterable[Option],
        fresh: Fresh,
        mining: Mining,
    ) -> None:
        self.taken: list[Option] = []
        self._fresh = fresh
        self._ranked = fresh.of(ranked)
        self._strangers = fresh.of(strangers)
        self._wanted = (mining.negatives, mining.strangers)

    def turn(self) -> list[Option]:
        """As many further options as are wanted; none where there are enough, or no more."""
        strangers = sum(option.rank is None for option in self.taken)
        ranked = len(self.taken) - strangers
        return [
            *islice(self._ranked, self._wanted[0] - ranked),
            *islice(self._strangers, self._wanted[1] - strangers),
        ]

    def take(self, options: Iterable[tuple[Option, float]], most: float) -> None:
        """Take those offered whose score, given beside them, is at most `most`."""
        for option, score in options:
            if score > most:
                self._fresh.refused["margin"] += 1
            else:
                self.taken.append(replace(option, score=score))


def nearly_equal(one: Shingles, other: Shingles, threshold: float) -> bool:
    """Whether two texts share so much of what both have, or one so much of what is in the other."""
    if overlap(one, other) >= threshold:
        return True
    smaller = min(len(one), len(other))
    return smaller >= LEAST_CONTAINED and len(one & other) >= threshold * smaller
