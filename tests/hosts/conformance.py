"""What every guest keeps, whatever its host: the order and the scores of CrossEncoder itself.

A test of a host wraps its guest as a `Guest`, in calls of the host's own classes, and runs each of
GUEST_CHECKS with it. The model that it gives to the guest is the fixture `model`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.types import Ranked

QUERY = "what is a giant panda?"
TEXTS = [
    "Lorem ipsum dolor sit amet; 42 is the answer to everything!",
    "The giant panda is a bear species endemic to China.",
    "a cross-encoder reads the query and the passage together",
    "The office opens at nine.",
    "大熊猫是中国特有的一种熊科动物。",
]
STRANGE = [
    "大熊猫🐼吃竹子。",
    "e\u0301 is é in two characters; \u202eright to left\u202c; \u200b between",
    "тридцать дней отпуска\ttab\nline\r\nanother",
    "العربية 𝒜𝓁𝓅𝒽𝒶 ﬁ",
    "\x00 and \x1b[31m and \ufffd",
]
CALLS = 10
TOLERANCE = 1e-6

Answer = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest as its host calls it: everything goes through the host's own classes.

    `rerank` gives (index into texts, score), best first; it asserts that the host's objects which
    it handed over are what they were. `score_of` says which of our numbers the guest's score is,
    and a threshold is one of the same kind. `drops_identical` says that of identical texts only the
    first comes back.
    """

    rerank: Callable[[str, list[str]], Answer]
    score_of: Callable[[Ranked], float]
    arerank: Callable[[str, list[str]], Awaitable[Answer]] | None = None
    above: Callable[[str, list[str], float], Answer] | None = None
    drops_identical: bool = False


@dataclass(slots=True)
class Pulse:
    """A heart that beats on the event loop, and a backend that waits for a beat in each pass.

    A call that blocks the loop stops the heart, so the beat that its own pass waits for never comes
    and counts as missed. A busy machine only makes the beats slower.
    """

    beats: int = 0
    missed: int = 0
    passes: int = 0
    beating: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self) -> None:
        """Return after the next beat; at once where there is no heart."""
        with self.changed:
            if not self.beating:
                return
            self.passes += 1
            next_beat = self.beats + 1
            if not self.changed.wait_for(lambda: self.beats >= next_beat, timeout=2):
                self.missed += 1

    @asynccontextmanager
    async def started(self):
        """The heart beats inside of this block."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(0.001)
                with self.changed:
                    self.beats += 1
                    self.changed.notify_all()

        self.missed = self.passes = 0
        self.beating = True
        heart = asyncio.create_task(beat())
        try:
            yield
        finally:
            self.beating = False
            heart.cancel()


@dataclass(frozen=True, slots=True)
class Paced:
    """A backend, each pass of which takes at least one beat of a heart."""

    backend: object
    pulse: Pulse

    def forward(self, batch):
        self.pulse.wait()
        return self.backend.forward(batch)

    def close(self) -> None:
        self.backend.close()


def expected(guest: Guest, model: CrossEncoder, query: str, texts: list[str]) -> Answer:
    """What CrossEncoder itself answers, in the guest's kind of score."""
    lines = model.rerank(query, texts)
    if guest.drops_identical:
        lines = [line for line in lines if texts.index(texts[line.index]) == line.index]
    return [(line.index, guest.score_of(line)) for line in lines]


def assert_same(answer: Answer, wanted: Answer) -> None:
    assert [at for at, _ in answer] == [at for at, _ in wanted]
    assert [score for _, score in answer] == pytest.approx(
        [score for _, score in wanted], rel=TOLERANCE, abs=TOLERANCE
    )


def check_like_the_model(guest: Guest, model: CrossEncoder, texts: list[str]) -> Answer:
    given = list(texts)
    answer = guest.rerank(QUERY, texts)
    assert_same(answer, expected(guest, model, QUERY, given))
    assert texts == given, "the list of texts was changed"
    return answer


def check_order_and_scores(guest: Guest, model: CrossEncoder) -> None:
    answer = check_like_the_model(guest, model, TEXTS)
    assert len({score for _, score in answer}) == len(TEXTS)
    assert guest.rerank(QUERY, TEXTS) == answer, "a second call gives another answer"


def check_no_text(guest: Guest, model: CrossEncoder) -> None:
    assert list(guest.rerank(QUERY, [])) == []


def check_one_candidate(guest: Guest, model: CrossEncoder) -> None:
    check_like_the_model(guest, model, TEXTS[1:2])


def check_blank_text(guest: Guest, model: CrossEncoder) -> None:
    check_like_the_model(guest, model, [TEXTS[1], "", TEXTS[0], " \n\t"])
    check_like_the_model(guest, model, [""])


def check_identical_texts(guest: Guest, model: CrossEncoder) -> None:
    check_like_the_model(guest, model, [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]])


def check_unicode(guest: Guest, model: CrossEncoder) -> None:
    check_like_the_model(guest, model, STRANGE)


def check_long_text(guest: Guest, model: CrossEncoder) -> None:
    long = "the office opens at nine. " * 1700 + TEXTS[1]
    assert len(model.token_spans(long)) >= 10_000
    (read,) = model.rerank(QUERY, [long])
    assert read.windows > 1
    assert not read.truncated
    check_like_the_model(guest, model, [TEXTS[0], long])


def check_scores_are_floats(guest: Guest, model: CrossEncoder) -> None:
    for at, score in guest.rerank(QUERY, TEXTS):
        assert (type(at), type(score)) == (int, float)


def check_threshold(guest: Guest, model: CrossEncoder) -> None:
    if guest.above is None:
        return
    scores = [score for _, score in expected(guest, model, QUERY, TEXTS)]
    # halfway to the next, so that no rounding decides
    between = (scores[1] + scores[2]) / 2
    assert_same(guest.above(QUERY, TEXTS, between), expected(guest, model, QUERY, TEXTS)[:2])
    beyond = (scores[0] + 1) / 2 if 0 <= scores[0] <= 1 else scores[0] + 1
    assert list(guest.above(QUERY, TEXTS, beyond)) == []


def check_concurrent_calls(guest: Guest, model: CrossEncoder) -> None:
    if guest.arerank is None:
        return
    arerank, pulse = guest.arerank, pulse_of(model)
    # each call another list, so that no answer can be another call's
    lists = [[f"{text} {call}" for text in TEXTS] for call in range(CALLS)]

    async def all_at_once() -> list[Answer]:
        async with pulse.started():
            return await asyncio.gather(*(arerank(QUERY, texts) for texts in lists))

    answers = asyncio.run(all_at_once())

    assert pulse.passes >= CALLS
    assert pulse.missed <= 1, f"{pulse.missed} of {pulse.passes} passes stopped the event loop"
    for texts, answer in zip(lists, answers, strict=True):
        assert_same(answer, expected(guest, model, QUERY, texts))


def pulse_of(model: CrossEncoder) -> Pulse:
    assert isinstance(model.backend, Paced), "give the guest the fixture `model`"
    return model.backend.pulse


GUEST_CHECKS = (
    check_order_and_scores,
    check_no_text,
    check_one_candidate,
    check_blank_text,
    check_identical_texts,
    check_unicode,
    check_long_text,
    check_scores_are_floats,
    check_threshold,
    check_concurrent_calls,
)
