"""Which streams, threads and batches suit ONNX Runtime and OpenVINO best? A small search.

    build/peers/openvino/bin/python benchmarks/tune_peers.py openvino FOLDER --cache FOLDER

It runs in the engine's own environment. All tunings are loaded at once and take turns; the best one
of each engine is what `load` in its file of evaluation/peers takes. Prints JSON, fastest first;
`cpu_ms` is what all threads took together, which other load on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).parents[1] / "src"))

from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.evaluation.machine import machine
from secondpass.evaluation.peers.encoding import Tuning
from secondpass.evaluation.peers.table import Task
from secondpass.evaluation.worker import bind
from secondpass.evaluation.workload import Workload, make_workload

BUDGETS = (None, 512, 1024, 2048)


def workload_of(model: Path, texts: int) -> Workload:
    tokenizer = PairTokenizer.load(model, vocabulary=ModelSpec.read(model).vocabulary)

    def spans(text: str) -> list[tuple[int, int]]:
        (tokens,) = tokenizer.encode([text])
        return [(int(start), int(end)) for start, end in tokens.spans]

    return make_workload("real", spans, count=texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=["onnxruntime", "openvino"])
    parser.add_argument("model", type=Path, help="a folder with model.safetensors")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/secondpass-bench"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bind(arguments.threads)
    task = Task(arguments.model, arguments.threads, 512, arguments.cache.expanduser())
    workload = workload_of(arguments.model, arguments.texts)
    peer = import_module(f"secondpass.evaluation.peers.{arguments.engine}")
    shapes = dict.fromkeys([(1, arguments.threads), (arguments.threads, 1)])
    tunings = [Tuning(*shape, tokens) for shape, tokens in itertools.product(shapes, BUDGETS)]
    engines = {str(tuning): peer.tuned(task, tuning) for tuning in tunings}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(arguments.rounds + 1):
        for name, engine in engines.items():
            started = time.perf_counter(), time.process_time()
            engine.logits(workload.query, workload.texts)
            wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
            times[name].append((1000 * wall, 1000 * cpu))
    found = {name: summary(each[1:]) for name, each in times.items()}
    ranked = dict(sorted(found.items(), key=lambda one: one[1]["median_ms"]))
    said = {"engine": arguments.engine, "model": arguments.model.name, "tunings": ranked}
    print(json.dumps({**said, **machine()}, indent=2))


def summary(times: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*times, strict=True)
    figures = {"median_ms": median(wall), "min_ms": min(wall), "cpu_ms": min(cpu)}
    return {name: round(value, 1) for name, value in figures.items()}


if __name__ == "__main__":
    main()
