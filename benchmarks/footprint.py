"""What does it cost to start? From `git clone` to the first answer, in time, disk and memory.

    python benchmarks/footprint.py

Clones this checkout, makes a virtual environment, installs the core with the tested versions,
indexes the documentation and asks one question; then measures import time, resident memory and the
time of reranking. Writes benchmarks/results/footprint.json. Needs a package registry.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
REPEATS = 5

MEMORY = """
import resource, sys
from secondpass import CrossEncoder
model = CrossEncoder.load()
texts = ["The giant panda is a bear species endemic to China. " * 5 + str(n) for n in range(50)]
model.rerank("what is a panda?", texts)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
TIMING = """
import json, time
from secondpass import CrossEncoder
from secondpass.engine import Compute
figures = {}
for precision in ("int8", "fp32"):
    started = time.perf_counter()
    model = CrossEncoder.load(compute=Compute(precision=precision))
    figures[f"{precision}_load_ms"] = 1000 * (time.perf_counter() - started)
    for count in (1, 10, 50):
        text = "The giant panda is a bear species endemic to China. " * 8
        texts = [text + str(n) for n in range(count)]
        started = time.perf_counter()
        model.rerank("what is a panda?", texts)
        figures[f"{precision}_rerank_{count}_ms"] = 1000 * (time.perf_counter() - started)
figures["backend"] = model.backend_name
figures["tokens_a_text"] = len(model.token_spans(texts[0]))
print(json.dumps(figures))
"""


def run(*command: object, cwd: Path) -> str:
    parts = [str(part) for part in command]
    done = subprocess.run(parts, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def seconds(*command: object, cwd: Path) -> float:
    started = time.perf_counter()
    run(*command, cwd=cwd)
    return round(time.perf_counter() - started, 2)


def import_ms(python: Path, cwd: Path) -> float:
    """What `import secondpass` adds to the start of the interpreter, by its own clock."""
    done = subprocess.run(
        [python, "-X", "importtime", "-c", "import secondpass"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stderr.splitlines()[-1].split("|")[1]) / 1000


def megabytes(folder: Path) -> float:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> None:
    report: dict = {"what": "from clone to first answer, core install", "repeats": REPEATS}
    with tempfile.TemporaryDirectory() as home:
        clone = Path(home) / "secondpass"
        steps = {"clone_s": seconds("git", "clone", "-q", ROOT, clone, cwd=Path(home))}
        steps["environment_s"] = seconds(sys.executable, "-m", "venv", clone / ".venv", cwd=clone)
        python, site = (
            clone / ".venv/bin/python",
            next((clone / ".venv/lib").glob("*/site-packages")),
        )
        before = megabytes(site)
        pip = (python, "-m", "pip", "install", "-q", "--no-compile", "-c", "constraints.txt", ".")
        steps["install_s"] = seconds(*pip, cwd=clone)
        size = megabytes(site) - before
        command = clone / ".venv/bin/secondpass"
        steps["index_s"] = seconds(command, "index", "docs/", cwd=clone)
        steps["first_answer_s"] = seconds(command, "search", "What is a cross-encoder?", cwd=clone)
        report["steps"] = steps
        report["clone_to_first_answer_s"] = round(sum(steps.values()), 1)
        report["install_mb"] = round(size, 1)
        report["package_mb"] = round(megabytes(site / "secondpass"), 1)
        imports = [import_ms(python, clone) for _ in range(REPEATS)]
        report["import_ms"] = {"min": min(imports), "median": statistics.median(imports)}
        memory = [float(run(python, "-c", MEMORY, cwd=clone)) for _ in range(REPEATS)]
        report["resident_mb_reranking_50"] = round(statistics.median(memory))
        timings = [json.loads(run(python, "-c", TIMING, cwd=clone)) for _ in range(REPEATS)]
        report["backend"] = timings[0].pop("backend")
        report["median"] = {
            name: round(statistics.median(one[name] for one in timings), 1) for name in timings[0]
        }
    report |= describe("secondpass", "numpy", "tokenizers")
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(report, indent=2)
    (RESULTS / "footprint.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
