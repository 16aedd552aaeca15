"""Which extras are installed, and do they work? Each guest is imported in a process of its own.

Another package's import may print, take long, or end the process: none of that reaches the caller.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from secondpass.types import Finding

OF_DEVELOPERS = ("dev", "test")
REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra\s*==\s*['"]([\w.-]+)['"]""")
SECONDS = 120


def extras() -> list[Finding]:
    """A finding for each extra that is installed, and one that lists the others."""
    return list(_findings(_requirements()))


def _findings(wanted: Mapping[str, list[str]]) -> Iterator[Finding]:
    have = {extra: {name: _version(name) for name in names} for extra, names in wanted.items()}
    here = {extra: found for extra, found in have.items() if None not in found.values()}
    modules = [f"secondpass.integrations.{extra.replace('-', '_')}" for extra in here]
    with ThreadPoolExecutor() as pool:
        troubles = list(pool.map(_import_trouble, modules))
    for (extra, versions), trouble in zip(here.items(), troubles, strict=True):
        found = ", ".join(f"{name} {installed}" for name, installed in versions.items())
        if trouble:
            advice = f"pip install --upgrade 'secondpass[{extra}]'"
            yield Finding(extra, f"{found}: {trouble}", advice, amiss=True)
        else:
            yield Finding(extra, found)
    if absent := [extra for extra in wanted if extra not in here]:
        advice = "pip install 'secondpass[NAME]' adds one"
        yield Finding("not installed", ", ".join(absent), advice)


def _requirements() -> dict[str, list[str]]:
    """The packages of each extra, by the metadata of the installation."""
    found: dict[str, list[str]] = {}
    for line in requires("secondpass") or ():
        match = REQUIREMENT.match(line)
        if match and match[2] not in OF_DEVELOPERS:
            found.setdefault(match[2], []).append(match[1])
    return dict(sorted(found.items()))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _import_trouble(module: str) -> str:
    """The last line of what importing a guest says where it fails; nothing where there is no guest."""
    if find_spec(module) is None:
        return ""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"importing it takes longer than {SECONDS} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"importing it ended with {done.returncode}"
