"""What does loading cost? Seconds and resident memory, from import to the first scores, part by part.

    python benchmarks/load.py --cache ~/.cache/secondpass-bench

For each shape of benchmarks/checkpoints.py and each form of its file (float32, float16, our int8
export): a process of its own imports, reads the tokenizer, loads, and scores ten texts; after each
step it notes the time, and its memory by kind. Medians of some runs, with the files in the page
cache. `--tokenizer FOLDER` takes the tokenizer of a real model for the shapes of 250 thousand
tokens, whose own benchmark tokenizer is small. Writes benchmarks/results/load.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from machine import describe
from safetensors.numpy import load_file, save_file

from checkpoints import checkpoint
from secondpass.engine.export import export

RESULTS = Path(__file__).parent / "results"
SHAPES = ("minilm-l6", "bge-reranker-v2-m3")
FORMS = ("fp32", "fp16", "int8 export")
STEPS = """
import json, sys, time
from pathlib import Path
started, steps = time.perf_counter(), {}
def step(name):
    held = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kinds = {"resident": "VmRSS", "own": "RssAnon", "mapped": "RssFile", "peak": "VmHWM"}
    mb = {kind: int(held[key].split()[0]) * 1024 / 1e6 for kind, key in kinds.items()}
    steps[name] = {"s": time.perf_counter() - started, "cpu_s": time.process_time(), **mb}
from secondpass import CrossEncoder
from secondpass.engine import Compute
step("imported")
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
folder = Path(sys.argv[1])
tokenizer = PairTokenizer.load(folder, vocabulary=ModelSpec.read(folder).vocabulary)
step("tokenizer")
del tokenizer
begun = time.perf_counter(), time.process_time()
model = CrossEncoder.load(folder, compute=Compute("int8"))
load = {"s": time.perf_counter() - begun[0], "cpu_s": time.process_time() - begun[1]}
step("loaded")
text = "The giant panda is a bear species endemic to China. " * 8
model.rerank("what is a panda?", [text + str(number) for number in range(10)])
step("scored ten texts")
print(json.dumps({"load": load, "steps": steps, "precision": model.precision}))
"""


def in_form(source: Path, form: str, tokenizer: Path | None) -> Path:
    """The checkpoint's folder in this form, made when it is not there yet."""
    name = source.name + ("" if tokenizer is None else "-tokens") + "-" + form.replace(" ", "-")
    folder = source.with_name(name)
    if folder.is_dir():
        return folder
    half_done = source.with_name(f".{name}.part")
    shutil.rmtree(half_done, ignore_errors=True)
    if form == "int8 export":
        export(in_form(source, "fp32", tokenizer), half_done)
    else:
        shutil.copytree(source, half_done, ignore=shutil.ignore_patterns("*.safetensors"))
        if form == "fp16":
            weights = load_file(source / "model.safetensors")
            halves = {one: value.astype(np.float16) for one, value in weights.items()}
            save_file(halves, half_done / "model.safetensors", metadata={"format": "pt"})
        else:
            (half_done / "model.safetensors").symlink_to(source.resolve() / "model.safetensors")
        if tokenizer is not None:
            for path in tokenizer.glob("*token*.json"):
                shutil.copyfile(path, half_done / path.name)
    half_done.rename(folder)
    return folder


def measure(folder: Path, repeats: int) -> dict:
    """Medians over processes of the seconds and megabytes of each step."""
    runs = [
        json.loads(subprocess.check_output([sys.executable, "-c", STEPS, folder], text=True))
        for _ in range(repeats)
    ]
    steps = {
        step: {
            figure: round(statistics.median(run["steps"][step][figure] for run in runs), 2)
            for figure in runs[0]["steps"][step]
        }
        for step in runs[0]["steps"]
    }
    loads = {unit: [run["load"][unit] for run in runs] for unit in ("s", "cpu_s")}
    return {
        "precision": runs[0]["precision"],
        "load_min": {unit: round(min(taken), 2) for unit, taken in loads.items()},
        "load_median": {unit: round(statistics.median(taken), 2) for unit, taken in loads.items()},
        "after_step": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/secondpass-bench"))
    parser.add_argument("--encoder", type=Path, help="folder of all-MiniLM-L6-v2, for minilm-l6")
    parser.add_argument("--tokenizer", type=Path, help="folder of an XLM-R tokenizer")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--forms", nargs="+", default=FORMS, choices=FORMS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "load.json")
    arguments = parser.parse_args()
    cache = arguments.cache.expanduser()
    report: dict = {"what": "load as int8, score ten texts", "repeats": arguments.repeats}
    for shape in arguments.shapes:
        source = checkpoint(shape, cache, arguments.encoder)
        tokenizer = None if shape == "minilm-l6" else arguments.tokenizer
        for form in arguments.forms:
            found = measure(in_form(source, form, tokenizer), arguments.repeats)
            report.setdefault("shapes", {}).setdefault(shape, {})[form] = found
            print(shape, form, json.dumps(found), file=sys.stderr)
    # The calibration's products run on numpy's threads, which wait for each other on a busy machine.
    report["load_average"] = [round(value, 1) for value in os.getloadavg()]
    report["numpy_threads"] = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    report |= describe("secondpass", "numpy", "tokenizers", "safetensors")
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
