"""README says what the result files say, early enough, and no longer than promised."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_result_files():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)

    card = readme.CARD.read_text(encoding="utf-8")
    assert readme.with_figures(README) == README, "run: python benchmarks/readme.py"
    assert readme.with_sets(card) == card, "run: python benchmarks/readme.py"


def test_the_first_code_comes_early_and_the_end_soon():
    lines = README.splitlines()

    assert lines.index("```python") < 30
    assert len(lines) <= 150


def test_links_lead_somewhere():
    import re

    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
