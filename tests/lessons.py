"""Lists that a tiny model learns in a moment: texts about pandas are right, all others wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from secondpass.training.lists import TrainingList, write_lists
from secondpass.training.recipe import Recipe

QUERIES = ["the giant bear", "what is the answer", "one score", "why", "大熊猫", "a passage"]
WRONG = [
    "lorem ipsum dolor sit amet",
    "the answer is 42",
    "the query and the passage",
    "约4.4万亿元",
]
RIGHT = ["panda", "the giant panda", "a panda species endemic to china", "panda bear"]

# A quarter of the lists is held out; a step has about ten lists.
TOY = Recipe(
    learning_rate=1e-2,
    batch_tokens=600,
    steps=12,
    epochs=9,
    check_every=4,
    validation_share=0.25,
    device="cpu",
    precision="fp32",
    most_cost=1.0,
)


def lessons(count: int, *, seed: int = 0, scores: bool = False) -> list[TrainingList]:
    """So many lists of one right and three wrong texts, each of a query of its own."""
    draw = np.random.default_rng(seed)
    lists = []
    for number in range(count):
        query = f"{draw.choice(QUERIES)} {number}"
        texts = [str(draw.choice(RIGHT)), *map(str, draw.permutation(WRONG)[:3])]
        given = tuple(float(x) for x in draw.normal(size=4).round(2)) if scores else None
        lists.append(TrainingList(query, tuple(texts), (1.0, 0.0, 0.0, 0.0), given))
    return lists


def lessons_file(path: Path, count: int, *, seed: int = 0, scores: bool = False) -> Path:
    """The same lists in a file."""
    write_lists(path, lessons(count, seed=seed, scores=scores))
    return path


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
