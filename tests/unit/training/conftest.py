from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lessons import TOY, lessons_file
from secondpass.training.recipe import Recipe


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The order of sums, and so every weight, depends on how many threads share the work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def late_recipe(late_join, tmp_path) -> Callable[..., Recipe]:
    """Recipes by the name of their folder: a few steps of a late join on forty lists."""
    data = lessons_file(tmp_path / "lists.jsonl", 40)
    few = replace(TOY, learning_rate=1e-3, steps=6, check_every=2)
    shared = replace(few, data=(str(data),), start=str(late_join()))
    return lambda name, **changes: replace(shared, out=str(tmp_path / name), **changes)
