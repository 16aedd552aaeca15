"""How fast is a query with each engine, on each shape of model? The table of record.

    make peers
    python benchmarks/speed.py --environments build/peers --cache ~/.cache/secondpass-bench

For each run of RUNS: all its engines in turn, each in a process of its own (`secondpass bench`
measures the same way). Writes benchmarks/results/speed-SHAPE.json, or speed-SHAPE-LENGTH.json where
the texts are not `real`; a run whose file is there is left out, so that one that was cut off goes
on where it stood (--again measures anew). Engines that cannot be installed or fed are in the file
with the reason. --warm only converts the checkpoints and lets each engine score two texts once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from machine import commit

from checkpoints import SHAPES, checkpoint
from secondpass import build
from secondpass.cli.benchmarking import chosen_workload, print_report
from secondpass.evaluation import measure, report
from secondpass.evaluation.chart import draw
from secondpass.evaluation.peers.table import OURS, PEERS
from secondpass.evaluation.workload import LENGTHS

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """A shape and its texts; few engines where each would hold 2 GB or the whole take too long.

    It ends before its rounds do where they would take more than `seconds`, loading included.
    """

    shape: str
    length: str
    texts: int
    rounds: int
    seconds: float
    peers: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of its result."""
        return f"speed-{self.shape}{'' if self.length == 'real' else f'-{self.length}'}.json"


FEW = ("sentence-transformers", "onnxruntime", "openvino", "llama-cpp")
RUNS = (
    Run("minilm-l6", "real", 100, 5, 240, tuple(PEERS)),
    Run("mini", "real", 40, 5, 180, tuple(PEERS)),
    Run("bge-reranker-base", "real", 20, 5, 120, FEW),
    Run("bge-reranker-v2-m3", "real", 8, 3, 150, FEW),
    Run("minilm-l6", "few", 8, 7, 40, FEW),
    Run("minilm-l6", "short", 100, 5, 60, FEW),
    Run("minilm-l6", "long", 16, 5, 80, FEW),
)


def measure_run(run: Run, arguments: argparse.Namespace) -> dict:
    cache = arguments.cache.expanduser()
    made = checkpoint(run.shape, cache, arguments.encoder) if run.shape in SHAPES else run.shape
    chosen = build.settings({"model": str(made), "threads": arguments.threads})
    setup = build.speed_setup(chosen, cache)
    count = 2 if arguments.warm else arguments.texts or run.texts
    rounds = 1 if arguments.warm else arguments.rounds or run.rounds
    workload = chosen_workload(setup, run.length, count, None, None)
    engines = build.engines([*OURS, *(arguments.engines or run.peers)], arguments.environments)
    started = time.perf_counter()
    result = measure(engines, setup, workload, rounds, told(run, started), seconds=run.seconds)
    found = report(result, setup, workload)
    found["commit"] = commit()
    found["seconds"] = round(time.perf_counter() - started)
    return found


def told(run: Run, started: float) -> Callable[[str], None]:
    def tell(what: str) -> None:
        seconds = time.perf_counter() - started
        print(f"{run.shape}, {run.length}, {seconds:.0f} s: {what}", file=sys.stderr)

    return tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shapes = list(dict.fromkeys(run.shape for run in RUNS))
    parser.add_argument("--shapes", nargs="+", default=shapes, choices=shapes)
    parser.add_argument("--engines", nargs="+", choices=sorted(PEERS))
    parser.add_argument("--environments", type=Path, default=Path("build/peers"))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/secondpass-bench"))
    parser.add_argument("--encoder", type=Path, help="folder of all-MiniLM-L6-v2, for minilm-l6")
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, choices=LENGTHS)
    parser.add_argument("--texts", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--warm", action="store_true", help="fill the cache, write no result")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.cache.expanduser().mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for run in RUNS:
        path = arguments.out / run.file
        if run.shape not in arguments.shapes or run.length not in arguments.lengths:
            continue
        if path.is_file() and not (arguments.again or arguments.warm):
            print(f"{path} is there; --again measures anew", file=sys.stderr)
            continue
        found = measure_run(run, arguments)
        print_report(found)
        if not arguments.warm:
            path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            draw(found, path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
