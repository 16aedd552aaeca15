"""On what was this measured? Every result file says so."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from secondpass.engine.cores import usable_cores


def processor() -> str:
    """The processor's name as the operating system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, object]:
    """Processor, cores that this process may use, system and Python."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def memory_mb() -> dict[str, float]:
    """Megabytes that this process holds now and held at most; empty where the system is silent."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    held = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    named = {"resident": "VmRSS", "peak": "VmHWM"}
    return {
        ours: round(int(held[name][0]) * 1024 / 1e6, 1)
        for ours, name in named.items()
        if name in held
    }
