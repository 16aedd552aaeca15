"""What the wheels and the source distribution contain, with a compiler and without one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.slow


def build(kind: str, folder: Path) -> Path:
    """Ask the build backend for a 'wheel' or an 'sdist', in a process of its own, offline."""
    code = f"import scikit_build_core.build as b; b.build_{kind}({str(folder)!r})"
    # A compiler that always fails stands for none at all. A cached CMake path would beat it.
    environment = {"PATH": "/usr/bin:/bin", "CC": "false", "CXX": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def pure_wheel(tmp_path_factory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist_names(tmp_path_factory) -> set[str]:
    with tarfile.open(build("sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def source_files() -> set[str]:
    """Every file of the package in the working tree, as a wheel names it."""
    source = ROOT / "src"
    files = (path for path in source.rglob("*") if path.is_file())
    names = {path.relative_to(source).as_posix() for path in files}
    return {name for name in names if "__pycache__" not in name and not name.endswith(".so")}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_without_a_compiler_the_wheel_is_pure_python(pure_wheel):
    assert pure_wheel.name == f"secondpass-{PROJECT['version']}-py3-none-any.whl"


def test_the_wheel_holds_every_file_of_the_package(pure_wheel):
    names = set(zipfile.ZipFile(pure_wheel).namelist())
    assert source_files() <= names
    assert "secondpass/py.typed" in names
    assert any(name.startswith("secondpass/models/") for name in names)


def test_the_wheel_holds_nothing_but_the_package(pure_wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(pure_wheel).namelist()}
    assert tops == {"secondpass", f"secondpass-{PROJECT['version']}.dist-info"}


def test_the_pure_wheel_installs_and_imports(pure_wheel, tmp_path):
    shutil.unpack_archive(pure_wheel, tmp_path, "zip")
    code = "import importlib.util as u, secondpass; import secondpass.types; " + (
        "assert u.find_spec('secondpass._native') is None; print(secondpass.__file__)"
    )
    # -S: without the site packages, so that this process's own installation cannot stand in.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_the_sdist_can_build_and_test_the_package(sdist_names):
    needed = {"pyproject.toml", "CMakeLists.txt", "LICENSE", "NOTICE", "README.md", "PKG-INFO"}
    needed |= {f"src/{name}" for name in source_files()}
    needed |= {str(path.relative_to(ROOT)) for path in (ROOT / "native").rglob("*.?pp")}
    needed |= {"constraints.txt", "Makefile", "tests/conftest.py"}
    assert needed <= sdist_names


def test_the_sdist_holds_no_leavings(sdist_names):
    leavings = re.compile(r"(^|/)(\.venv|build|dist|__pycache__|\.demo|\.[a-z]+_cache)/|\.so$")
    assert not {name for name in sdist_names if leavings.search(name)}


def test_the_wheel_says_what_the_project_says(pure_wheel):
    said = metadata(pure_wheel)
    assert said["Name"] == PROJECT["name"]
    assert said["License-Expression"] == "Apache-2.0"
    assert {"LICENSE", "NOTICE"} == set(said.get_all("License-File", []))
    assert {"docx", "test", "dev"} <= set(said.get_all("Provides-Extra", []))


def requirement_name(line: str) -> str:
    return re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-")


def test_each_dependency_has_a_tested_version():
    extras = PROJECT["optional-dependencies"].values()
    asked = {
        requirement_name(line) for lines in (PROJECT["dependencies"], *extras) for line in lines
    }
    # Hosts of guests have environments of their own, whose versions are written beside their tests.
    files = [ROOT / "constraints.txt", *(ROOT / "tests" / "hosts" / "groups").glob("*.txt")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pinned = {requirement_name(line) for line in lines if "==" in line}
    assert asked - {"secondpass"} <= pinned
