"""The native extension finds out what the processor can do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CPUINFO = Path("/proc/cpuinfo")
# As Linux names the features, in our order; "sse4.2" is the one that it spells differently.
X86 = (
    "sse4_2 avx2 fma avx_vnni avx512f avx512bw avx512vl avx512_vnni avx512_bf16 amx_tile amx_int8"
).split()
ARM = {"asimd": "neon", "asimddp": "dotprod", "i8mm": "i8mm"}


@pytest.fixture(scope="module")
def native():
    return pytest.importorskip("secondpass._native", reason="built without a C++ compiler")


def kernel_flags(field: str) -> set[str]:
    """What the kernel reports for the first processor."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    return set(next(line for line in lines if line.startswith(field)).partition(":")[2].split())


@pytest.mark.skipif(
    not CPUINFO.exists() or platform.machine() not in ("x86_64", "AMD64"),
    reason="needs hardware: an x86 processor under Linux",
)
def test_instruction_sets_are_those_that_linux_reports_on_x86(native):
    flags = kernel_flags("flags")
    expected = [name.replace("sse4_2", "sse4.2") for name in X86 if name in flags]
    assert native.instruction_sets() == expected


@pytest.mark.skipif(
    not CPUINFO.exists() or platform.machine() != "aarch64",
    reason="needs hardware: a 64-bit ARM processor under Linux",
)
def test_instruction_sets_are_those_that_linux_reports_on_arm(native):
    flags = kernel_flags("Features")
    assert native.instruction_sets() == [name for flag, name in ARM.items() if flag in flags]


def test_instruction_sets_are_a_value_of_the_caller(native):
    native.instruction_sets().clear()
    assert native.instruction_sets() == native.instruction_sets()
    assert len(set(native.instruction_sets())) == len(native.instruction_sets())


@pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", "c++"))), reason="needs cmake and a C++ compiler"
)
def test_every_table_of_kernels_passes_the_self_test(tmp_path):
    # A sanitizer that is loaded into every process is not for the compiler.
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # Not optimised: compiled in a third of the time, and the same code.
    options = ("EXTENSION=OFF", "SELF_TEST=ON", "WERROR=ON")
    defined = [f"-DSECONDPASS_{option}" for option in options]
    run("cmake", "-S", ROOT, "-B", tmp_path, "-DCMAKE_BUILD_TYPE=None", *defined)
    run("cmake", "--build", tmp_path, "--parallel", "2")
    assert "portable products: good" in run(tmp_path / "secondpass_self_test")
