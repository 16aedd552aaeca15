from __future__ import annotations

import re
from pathlib import Path

import pytest

from terminal import secondpass


@pytest.fixture(scope="module")
def home(tmp_path_factory, checkpoint) -> Path:
    """A folder with documents, an index of them, and a small model."""
    home = tmp_path_factory.mktemp("home")
    docs = home / "docs"
    docs.mkdir()
    (docs / "panda.md").write_text("# Pandas\n\nThe giant panda is a bear.\n\n## Food\n\nBamboo.\n")
    (docs / "zh.txt").write_text("大熊猫是中国特有的一种熊科动物。它吃竹子。\n", encoding="utf-8")
    (docs / "empty.txt").write_text("\n")
    (home / "model").symlink_to(checkpoint("bert"))
    done = secondpass("index", "docs", "--index", "my.index", "--encoder", "none", cwd=home)
    assert done.returncode == 0, done.stderr
    assert re.match(r"2 documents added; \d passages written\nmy.index holds 2 ", done.stdout)
    assert "empty.txt" in done.stderr
    return home
