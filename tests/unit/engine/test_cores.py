"""How many threads? Physical cores within the affinity mask and the control group's quota."""

from __future__ import annotations

import pytest

from secondpass.engine.cores import count_cores, usable_cores

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
TOPOLOGY = {SIBLINGS.format(cpu): f"{cpu % 4},{cpu % 4 + 4}\n" for cpu in range(8)}


@pytest.mark.parametrize(
    ("allowed", "files", "expected"),
    [
        (range(8), {}, 8),
        (range(8), TOPOLOGY, 4),
        ([0, 4], TOPOLOGY, 1),
        ([], {}, 1),
        (range(8), {"/proc/self/cgroup": "0::/\n"}, 8),
        (range(8), {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        (range(8), {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        (
            range(8),
            {"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000"},
            3,
        ),
        (
            range(8),
            {
                "/proc/self/cgroup": "5:cpu,cpuacct:/pod\n0::/\n",
                "/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "50000\n",
                "/sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            range(8),
            {"/proc/self/cgroup": "5:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"},
            8,
        ),
    ],
)
def test_cores_are_counted_within_their_limits(allowed, files, expected):
    assert count_cores(allowed, files.get) == expected


def test_this_process_may_use_a_core():
    assert usable_cores() >= 1
