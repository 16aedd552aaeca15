"""What `import secondpass` offers, and how little it costs."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import secondpass

NAMES = [
    "BiEncoder",
    "Candidate",
    "CrossEncoder",
    "Document",
    "Hit",
    "Index",
    "Passage",
    "Pipeline",
    "Range",
    "Ranked",
    "SecondpassError",
    "load",
    "split",
]

HEAVY = {
    "fastapi",
    "huggingface_hub",
    "numpy",
    "pypdfium2",
    "rich",
    "selectolax",
    "sqlite3",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds the same package as this one."""
    source = str(Path(secondpass.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_the_exported_names_are_these():
    assert sorted(secondpass.__all__) == NAMES
    assert set(NAMES) <= set(dir(secondpass))


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_name_is_there_and_documented(name):
    value = getattr(secondpass, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert value is getattr(secondpass, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'secondpass' has no attribute 'reranker'"):
        _ = secondpass.reranker


def test_the_import_loads_nothing_heavy():
    code = "import sys, secondpass; sys.stdout.write(' '.join(sys.modules))"
    loaded = set(run_python("-c", code).stdout.split())
    assert "secondpass" in loaded
    assert not loaded & HEAVY


def import_ms() -> float:
    """Milliseconds that `import secondpass` takes with all it imports, as the interpreter says."""
    trace = run_python("-X", "importtime", "-c", "import secondpass").stderr
    for line in trace.splitlines():
        _, cumulative_us, module = line.removeprefix("import time:").split("|")
        if module.strip() == "secondpass":
            return int(cumulative_us) / 1000
    pytest.fail("the trace of imports does not name secondpass")


def test_the_import_takes_less_than_100_ms():
    # The one assertion on time: it is a promise of the package, and five runs on a busy machine
    # have one that shows the true cost.
    assert min(import_ms() for _ in range(5)) < 100
