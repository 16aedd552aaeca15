"""How the examples of the guests are run: as a person would, with documents as arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "guests"


def ran(name: str, *arguments: str | Path) -> tuple[list[str], list[str]]:
    """The lines that an example prints below "before" and below "after"."""
    source = EXAMPLES / name
    assert len(source.read_text(encoding="utf-8").splitlines()) < 60, source
    done = subprocess.run(
        [sys.executable, str(source), *(str(each) for each in arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    first, second = lines.index("before"), lines.index("after")
    return lines[first + 1 : second], lines[second + 1 :]
