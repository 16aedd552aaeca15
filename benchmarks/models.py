"""How fast is each of our models in the native engine? Interleaved, the same lengths for all.

    python benchmarks/models.py mini=src/secondpass/models/mini minilm-l6=minilm-l6 --encoder FOLDER

NAME=FOLDER, or NAME=SHAPE for a shape that benchmarks/checkpoints.py makes (random weights: speed
does not depend on them). Every model gets the workload `real` by its own tokenizer, so that rows
have the same numbers of tokens. Writes benchmarks/results/models.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from machine import describe

from checkpoints import SHAPES, checkpoint
from secondpass import CrossEncoder
from secondpass.engine import Compute
from secondpass.evaluation.workload import make_workload

RESULTS = Path(__file__).parent / "results"
PRECISIONS = ("int8", "fp32")


def seconds(model: CrossEncoder, query: str, texts: tuple[str, ...]) -> float:
    started = time.perf_counter()
    model.score([(query, text) for text in texts])
    return time.perf_counter() - started


def summary(found: list[float], unit: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(1000 * statistics.median(found), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(found, unit, strict=True)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="+", help="NAME=FOLDER or NAME=SHAPE; the first is the unit"
    )
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--encoder", type=Path, help="folder of all-MiniLM-L6-v2, for minilm-l6")
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    args = parser.parse_args()
    loaded, works, megabytes = {}, {}, {}
    for each in args.models:
        name, _, where = each.partition("=")
        folder = checkpoint(where, args.cache, args.encoder) if where in SHAPES else Path(where)
        megabytes[name] = round(sum(one.stat().st_size for one in folder.iterdir()) / 1e6, 1)
        for precision in args.precisions:
            model = CrossEncoder.load(folder, compute=Compute(precision=precision))
            loaded[name, precision] = model
            works[name] = make_workload("real", model.token_spans, count=args.texts)
            seconds(model, works[name].query, works[name].texts)  # warms caches and threads
    times: dict[tuple[str, str], list[float]] = {key: [] for key in loaded}
    for _ in range(args.rounds):
        for (name, precision), model in loaded.items():
            times[name, precision].append(seconds(model, works[name].query, works[name].texts))
    first = args.models[0].partition("=")[0]
    report = {
        "what": f"{args.texts} texts reranked, the workload real, models in turn; "
        f"ratio: median over rounds of the time in units of {first}",
        "texts": args.texts,
        "rounds": args.rounds,
        "mean_tokens": round(statistics.mean(works[first].tokens), 1),
        "backend": loaded[first, args.precisions[0]].backend_name,
        **describe("secondpass", "numpy", "tokenizers"),
        "models": {
            name: {"folder_mb": size}
            | {at: summary(times[name, at], times[first, at]) for at in args.precisions}
            for name, size in megabytes.items()
        },
    }
    text = json.dumps(report, indent=1)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "models.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
