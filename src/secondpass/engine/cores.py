"""How many threads can compute at once here? Physical cores, within what the process may use.

Two hardware threads of a core share its multipliers, which the kernels keep busy alone. A container
may have less than the machine: an affinity mask, or a quota of processor time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

Read = Callable[[str], str | None]


def usable_cores() -> int:
    """The number of physical cores that this process may use, at least 1."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not Linux: neither masks nor quotas to be found out
        return max(1, os.cpu_count() or 1)
    return count_cores(allowed, _read)


def count_cores(allowed: Iterable[int], read: Read) -> int:
    """Cores behind these logical processors, cut to the control group's quota.

    `read` gives the content of a file of /sys or /proc, or None where there is none.
    """
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    cores = {read(topology.format(cpu)) or str(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota(read)))


def _quota(read: Read) -> int:
    """The whole processors that the control group's quota amounts to, rounded up; many for none."""
    most = 1 << 16
    for line in (read("/proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2: every group above limits this one too
            parts = group.strip("/").split("/") if group.strip("/") else []
            for depth in range(len(parts) + 1):
                folder = "/".join(["/sys/fs/cgroup", *parts[:depth]])
                most = min(most, _processors((read(f"{folder}/cpu.max") or "max 1").split()))
        elif "cpu" in controllers.split(","):
            folder = f"/sys/fs/cgroup/cpu{group.rstrip('/')}"
            quota = read(f"{folder}/cpu.cfs_quota_us") or "-1"
            period = read(f"{folder}/cpu.cfs_period_us") or "100000"
            most = min(most, _processors([quota.strip(), period.strip()]))
    return most


def _processors(limit: list[str]) -> int:
    quota, period = limit
    if quota == "max" or int(quota) <= 0:
        return 1 << 16
    return max(1, math.ceil(int(quota) / int(period)))


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return None
