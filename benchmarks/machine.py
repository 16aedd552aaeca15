"""On what was this measured? What the package finds out, and the commit."""

from __future__ import annotations

import subprocess

from secondpass.evaluation.machine import machine, versions


def commit() -> str:
    """The commit that was measured, marked where the working tree had changes."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def describe(*packages: str) -> dict:
    """Machine, versions and commit."""
    return {**machine(), "versions": versions(*packages), "commit": commit()}
