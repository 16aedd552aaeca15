"""One page of HTML that shows a picture by itself: no network, and no text of a passage as markup."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from secondpass.errors import InvalidInput

SHOWN = 400  # characters of a passage that hovering shows


class Mark(StrEnum):
    """What a point stands for."""

    passage = "passage"
    candidate = "candidate"
    answer = "answer"
    query = "query"


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the picture and what it shows; `rank` of a candidate or an answer."""

    x: float
    y: float
    mark: Mark
    text: str
    source: str = ""
    rank: int | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is on the page: points, the query if there is one, and a line of facts."""

    title: str
    facts: str
    points: Sequence[Point]


def page(picture: Picture) -> str:
    """The page; InvalidInput for a place that is not finite, and where there are no points."""
    if not picture.points:
        raise InvalidInput("there is nothing to draw; expected one point or more; add passages")
    for point in picture.points:
        if not (math.isfinite(point.x) and math.isfinite(point.y)):
            raise InvalidInput(f"a point at {point.x}, {point.y}; expected finite numbers")
    data = json.dumps([_row(point) for point in picture.points], ensure_ascii=False)
    filled = {
        "title": html.escape(picture.title),
        "facts": html.escape(picture.facts),
        "data": _inert(data),
    }
    before, *parts = _template().split("{{")
    named = (part.split("}}", 1) for part in parts)
    return before + "".join(filled[name] + rest for name, rest in named)


def _row(point: Point) -> list[object]:
    text = " ".join(point.text.split())
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    x, y = float(f"{point.x:.5g}"), float(f"{point.y:.5g}")
    probability = None if point.probability is None else round(point.probability, 4)
    return [x, y, str(point.mark), shown, point.source, point.rank, probability]


def _inert(data: str) -> str:
    """JSON that no HTML parser reads as anything but text: it cannot end the element it stands in."""
    for sign in "<>&\u2028\u2029":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    # A lone surrogate is no text that a file could hold.
    return data.encode("utf-8", "replace").decode("utf-8")


@cache
def _template() -> str:
    return files(__package__).joinpath("map.html").read_text(encoding="utf-8")
