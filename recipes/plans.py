"""How long and how large is a run? One plan a kind of machine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from recipes.bert import Shape
from recipes.fit import Pace
from recipes.lists import Recipe
from recipes.mine import Mining


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and times of a run; `students` are layers by name, `checked` queries are validated on.

    `mining_seconds` and `rescoring_seconds` are what those stages may take; neither is cut in two
    by a slice's end.
    """

    base: Pace
    refine: Pace
    distil: Pace
    shape: Shape = field(default_factory=Shape)
    recipe: Recipe = field(default_factory=Recipe)
    mining: Mining = field(default_factory=Mining)
    students: tuple[tuple[str, int], ...] = (("mini", 6), ("tiny", 2))
    workers: int = 0
    checked: int = 600
    mining_seconds: float = 150
    rescoring_seconds: float = 90
    rescored_places: int = 16
    rescored_tokens: int = 256


GPU = Plan(
    base=Pace(1.2e-4, 5e-4, seconds=760, check_seconds=75),
    refine=Pace(5e-5, 1e-4, seconds=210, check_seconds=75),
    distil=Pace(1.5e-4, 5e-4, seconds=240, check_seconds=75),
    workers=12,
)

# Two cores, data prepared with --most 700: sixty times fewer lists than the plan above.
CPU = Plan(
    base=Pace(8e-5, 5e-4, seconds=3 * 3600, check_seconds=600),
    refine=Pace(3e-5, 1e-4, seconds=3600, check_seconds=600),
    distil=Pace(1.5e-4, 5e-4, seconds=2 * 3600, check_seconds=600),
    recipe=Recipe(tokens=8192, most_places=8, most_tokens=320),
    mining=Mining(block=128, embed_tokens=8192),
    checked=60,
    mining_seconds=600,
    rescoring_seconds=1200,
    rescored_places=8,
)

# The whole chain in a minute: two narrow layers, too small to learn anything.
SMOKE = Plan(
    base=Pace(1e-3, 1e-3, steps=6, check_seconds=5),
    refine=Pace(5e-4, 1e-3, steps=3, check_seconds=5),
    distil=Pace(1e-3, 1e-3, steps=3, check_seconds=5),
    shape=Shape(hidden=32, layers=4, heads=2, intermediate=64),
    recipe=Recipe(tokens=8192, most_places=6, most_tokens=256),
    mining=Mining(depth=16, kept=12, block=256, embed_tokens=16384),
    students=(("mini", 2), ("tiny", 1)),
    checked=24,
    mining_seconds=0,
    rescoring_seconds=3,
    rescored_places=6,
)

PLANS = {"gpu": GPU, "cpu": CPU, "smoke": SMOKE}


def late(plan: Plan, join: int) -> Plan:
    """The plan for a model that reads query and passage apart below layer `join`."""
    if not 0 < join < plan.shape.layers:
        raise ValueError(f"join={join} is no layer between the first and {plan.shape.layers}")
    return replace(
        plan,
        shape=replace(plan.shape, join=join),
        recipe=replace(plan.recipe, apart=True),
        students=(),
    )
