"""The bundled models, trained: `run` in slices that go on where the last one stopped.

python -m recipes.train smoke                                  # the whole chain in a minute
python -m recipes.train probe                                  # what this machine can do
python -m recipes.train run --plan gpu --data D --work W --budget-seconds 560

A slice ends in time and leaves checkpoints in W; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

# Heavy imports stay in the functions: worker processes import this file again.
if TYPE_CHECKING:
    from recipes.bert import Kernels, Ranker, Shape
    from recipes.start import Tensors


def run(args: argparse.Namespace) -> None:
    """One slice of a run."""
    from recipes.chain import Chain, Start
    from recipes.plans import PLANS, late
    from recipes.start import load_start

    plan = PLANS[args.plan]
    if args.join:
        plan = late(plan, args.join)
    if args.join and args.start:
        raise SystemExit("--join begins with the bi-encoder; leave --start out")
    encoder = load_start(args.data / "start.npz")
    start = Start(encoder, load_start(args.start) if args.start else encoder)
    Chain.open(plan, args.data, args.work, start, args.budget_seconds).run()


def random_start(shape: Shape, seed: int = 0) -> Tensors:
    """Weights for a trial of the chain."""
    import torch

    from recipes.bert import Ranker

    torch.manual_seed(seed)
    return Ranker(shape).tensors()


def smoke(args: argparse.Namespace) -> None:
    """Prepare little data, run all stages cut in two slices, load and run what comes out."""
    import numpy as np

    from recipes.chain import Chain, Start
    from recipes.plans import SMOKE
    from recipes.prepare import SHARED, Portion, build_corpus, read_pairs
    from secondpass.engine import CrossEncoder

    files = [SHARED / f"data/train/{name}.jsonl.gz" for name in SMOKE_FILES]
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        corpus = build_corpus(list(read_pairs(files, Portion(args.most))))
        corpus.save(work / "data")
        random = random_start(SMOKE.shape)
        start = Start(random, random)
        slices = 1
        while not Chain.open(SMOKE, work / "data", work, start, args.slice_seconds).run():
            slices += 1
            if slices > 20:
                raise RuntimeError("the run does not come to an end in 20 slices")
        for name in ("base", "mini", "tiny"):
            plain = CrossEncoder.load(work / "out" / name, backend="numpy")
            small = CrossEncoder.load(work / "int8" / name, backend="numpy")
            texts = ["Pandas eat bamboo.", "巴黎是法国的首都。"]
            scores = [
                [line.score for line in sorted(each.rerank("熊猫吃什么？", texts), key=by_index)]
                for each in (plain, small)
            ]
            if not np.allclose(*scores, atol=0.05):
                raise RuntimeError(f"'{name}' in int8 differs from half precision: {scores}")
        print(f"smoke run: all stages done in {slices} slices, three models loaded")


def by_index(line: object) -> int:
    """The place that a ranked line had."""
    return int(line.index)  # type: ignore[attr-defined]


SMOKE_FILES = ("medquad", "toyhom_medical_zh", "laws_zh", "wikitext2", "cross_en_zh")


def probe(args: argparse.Namespace) -> None:
    """Which kernels work here, and how many tokens a second a step of the base model takes."""
    import torch

    from recipes.bert import Ranker, Shape
    from recipes.fit import Log
    from recipes.kernels import choose_kernels

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    log = Log(args.work / "probe.jsonl")
    shape = Shape()
    torch.set_float32_matmul_precision("high")
    plain = choose_kernels(device, shape, log, compiled=False)
    compiled = choose_kernels(device, shape, log, compiled=True)
    model = Ranker(shape).to(device)
    count, length = (1024, 128) if device.type == "cuda" else (32, 128)
    for name, kernels in (("eager", plain), ("compiled", compiled)):
        seconds = [step_seconds(model, kernels, count, length) for _ in range(6)]
        rate = round(count * length / min(seconds))
        log({"event": "probe", "kernels": name, "tokens_per_second": rate, "first": seconds[0]})
    if device.type == "cuda":
        log({"event": "probe", "gib": torch.cuda.max_memory_allocated() / 2**30})


def step_seconds(model: Ranker, kernels: Kernels, count: int, length: int) -> float:
    """The time of a forward and a backward pass."""
    import torch

    from recipes.kernels import trial_rows

    device = model.dense.weight.device
    rows = trial_rows(device, model.shape, count, length)
    began = time.perf_counter()
    model(rows, kernels).sum().backward()
    model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("run", "smoke", "probe"))
    parser.add_argument("--plan", choices=("gpu", "cpu", "smoke"), default="gpu")
    parser.add_argument("--data", type=Path, default=Path("build/recipes/data"))
    parser.add_argument("--work", type=Path, default=None, help="checkpoints and what comes out")
    parser.add_argument("--start", type=Path, help="a checkpoint's folder instead of e5")
    parser.add_argument("--join", type=int, default=0, help="the layer where both sides meet")
    parser.add_argument("--budget-seconds", type=float, default=560)
    parser.add_argument("--slice-seconds", type=float, default=15, help="of the smoke run")
    parser.add_argument("--most", type=int, default=240, help="pairs a file in the smoke run")
    args = parser.parse_args()
    if args.what != "smoke":
        args.work = args.work or Path("build/recipes/work")
    {"run": run, "smoke": smoke, "probe": probe}[args.what](args)


if __name__ == "__main__":
    main()
