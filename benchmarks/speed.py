"""How fast is a query with each engine, on each shape of model? The table of record.

    make peers
    python benchmarks/speed.py --environments build/peers --cache ~/.cache/secondpass-bench

For each shape: all engines in turn, each in a process of its own (`secondpass bench` measures the
same way). Writes benchmarks/results/speed-SHAPE.json; a shape whose file is there is left out, so
that a run that was cut off goes on where it stood (--again measures anew). Engines that cannot be
installed or fed are in the file with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from machine import commit

from checkpoints import SHAPES, checkpoint
from secondpass import build
from secondpass.cli.benchmarking import chosen_workload, print_report
from secondpass.evaluation import measure, report
from secondpass.evaluation.peers.table import OURS, PEERS

RESULTS = Path(__file__).parent / "results"
# Of the largest shape only what is to be compared: each engine holds its own 2 GB of weights.
FEW = ("sentence-transformers", "onnxruntime", "openvino")
NEVER = {
    "llama-cpp": "not tried: its package comes as source only, to be compiled, and the checkpoint "
    "would have to be converted to GGUF",
}


def measure_shape(name: str, arguments: argparse.Namespace) -> dict:
    cache = arguments.cache.expanduser()
    shape = SHAPES.get(name)
    folder = str(checkpoint(name, cache, arguments.encoder)) if shape else name
    count, rounds = (shape.texts, shape.rounds) if shape else (100, 5)
    count, rounds = arguments.texts or count, arguments.rounds or rounds
    chosen = build.settings({"model": folder, "threads": arguments.threads})
    setup = build.speed_setup(chosen, cache)
    workload = chosen_workload(setup, arguments.length, count, None, None)
    peers = FEW if name == "bge-reranker-v2-m3" else tuple(PEERS)
    engines = build.engines([*OURS, *(arguments.engines or peers)], arguments.environments)
    started = time.perf_counter()
    result = measure(
        engines, setup, workload, rounds, lambda what: print(f"{name}: {what}", file=sys.stderr)
    )
    found = report(result, setup, workload)
    found["refused"] |= NEVER
    found["commit"] = commit()
    found["seconds"] = round(time.perf_counter() - started)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["mini", *SHAPES], choices=["mini", *SHAPES])
    parser.add_argument("--engines", nargs="+", choices=sorted(PEERS))
    parser.add_argument("--environments", type=Path, default=Path("build/peers"))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/secondpass-bench"))
    parser.add_argument("--encoder", type=Path, help="folder of all-MiniLM-L6-v2, for minilm-l6")
    parser.add_argument("--length", default="real", help="real, short, long or few")
    parser.add_argument("--texts", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.cache.expanduser().mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.shapes:
        path = arguments.out / f"speed-{name}.json"
        if path.is_file() and not arguments.again:
            print(f"{path} is there; --again measures anew", file=sys.stderr)
            continue
        found = measure_shape(name, arguments)
        print_report(found)
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
