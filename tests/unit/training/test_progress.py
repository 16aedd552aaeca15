from __future__ import annotations

import pytest

from secondpass.training import progress
from secondpass.training.progress import Minutes, Pace, spoken


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    times = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[0])
    return times


def test_a_line_a_minute_says_how_far_the_stage_is(clock):
    said = []
    minutes = Minutes(said.append)

    for second in range(0, 241, 10):
        clock[0] = float(second)
        minutes.at("training", second, 600)
    clock[0] = 245.0
    minutes.at("measuring", 0, 8)
    clock[0] = 304.0
    minutes.at("measuring", 1, 8)  # 59 seconds into the new stage
    clock[0] = 306.0
    minutes.at("measuring", 2, 8)

    assert said == [
        "training: 60 of 600, 9 min left",
        "training: 120 of 600, 8 min left",
        "training: 180 of 600, 7 min left",
        "training: 240 of 600, 6 min left",
        "measuring: 2 of 8, 3 min left",
    ]


def test_nothing_is_said_of_a_stage_that_is_done_or_stands_still(clock):
    said = []
    minutes = Minutes(said.append)
    for second, done in ((0, 0), (70, 0), (140, 10)):
        clock[0] = float(second)
        minutes.at("training", done, 10)
    assert said == []


def test_time_left_is_by_what_was_done_since(clock):
    pace = Pace(10, 30)
    assert pace.left(10) is None
    clock[0] = 5.0
    assert pace.left(20) == pytest.approx(5.0)
    assert pace.passed() == 5.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min"), (11100, "3 h 05 min")],
)
def test_time_is_spoken_as_people_do(seconds, words):
    assert spoken(seconds) == words


def test_a_stage_that_begins_again_has_a_pace_of_its_own(clock):
    said = []
    minutes = Minutes(said.append)
    for second, done in ((0, 0), (1000, 10), (1001, 1), (1101, 2)):
        clock[0] = float(second)
        minutes.at("measuring", done, 10)
    assert said == ["measuring: 2 of 10, 13 min left"]
