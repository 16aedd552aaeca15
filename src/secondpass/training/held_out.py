"""Which lists are measured on, and never trained on? Those of some queries, by their words alone.

The hash of the query's text decides, so that the same query is held out in every file, in every
order, and in every later run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InvalidInput
from secondpass.training.lists import TrainingList, read_lists
from secondpass.training.measures import RIGHT
from secondpass.training.recipe import Recipe

LEAST = 4  # lists: every second one calibrates, the others measure
MOST = 1000  # a check during training reads them all


@dataclass(frozen=True, slots=True)
class Split:
    """Lists to learn from, and lists to measure on; none of the queries is in both.

    `also_held_out` counts lists that were dropped from training, since their query is in the file
    of validation lists.
    """

    training: list[TrainingList]
    validation: list[TrainingList]
    also_held_out: int = 0


def split(lists: Sequence[TrainingList], recipe: Recipe) -> Split:
    """The lists of a run, by the recipe's share or file of validation lists.

    Measured is on lists that have a right and a wrong text, at most 1000 of them. Raises InvalidInput
    where there are too few, or nothing is left to learn from.
    """
    if recipe.validation is not None:
        given = [one for one in read_lists(Path(recipe.validation)) if has_both(one)]
        held = {_key(one.query) for one in given}
        training = [one for one in lists if _key(one.query) not in held]
        found = Split(training, sorted(given, key=_place)[:MOST], len(lists) - len(training))
    else:
        below = [one for one in lists if _place(one) < recipe.validation_share and has_both(one)]
        chosen = sorted(below, key=_place)[:MOST]
        held = {_key(one.query) for one in chosen}
        found = Split(
            [one for one in lists if _key(one.query) not in held],
            [one for one in lists if _key(one.query) in held and has_both(one)],
        )
    _check(found, len(lists), recipe)
    return found


def has_both(one: TrainingList) -> bool:
    """Whether the list has a right and a wrong text: else no order of it is better than another."""
    return max(one.labels) >= RIGHT and min(one.labels) < max(one.labels)


def _key(query: str) -> str:
    return " ".join(query.casefold().split())


def _place(one: TrainingList) -> float:
    """A number in [0, 1) that the words of the query decide."""
    digest = hashlib.sha256(_key(one.query).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check(found: Split, given: int, recipe: Recipe) -> None:
    if len(found.validation) < LEAST:
        where = (
            f"validation_share={recipe.validation_share:g} holds {len(found.validation)} of {given} "
            "lists out"
            if recipe.validation is None
            else f"'{recipe.validation}' has {len(found.validation)} lists to measure on"
        )
        raise InvalidInput(
            f"{where}; expected at least {LEAST} with a right and a wrong text: half of them "
            "calibrate, the others measure; pass more data, a larger --validation-share, or a "
            "--validation file"
        )
    if not any(has_both(one) or one.scores for one in found.training):
        raise InvalidInput(
            f"none of {len(found.training)} training lists has a right and a wrong text, or a "
            "teacher's scores; expected lists that can be ordered; `secondpass mine` finds wrong "
            "texts"
        )
