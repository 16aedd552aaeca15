"""The command line as a person meets it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from preloaded import client


def secondpass(
    *arguments: object, stdin: str | None = None, cwd: Path | None = None, **environment
):
    # What Python reads when it starts is beyond a fork.
    plain = any(name.startswith("PYTHON") for name in environment)
    command = [sys.executable, "-c", "from secondpass.cli import main; main()"]
    command = command if plain else [str(client())]
    return subprocess.run(
        [*command, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        cwd=cwd,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if "SECONDPASS" not in name},
            "COLUMNS": "100",
            "TERM": "dumb",
            **environment,
        },
    )
