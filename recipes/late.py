"""A late join, trained where compute is scarce: the lower layers read everything once.

    python -m recipes.late read  --data build/recipes/little --work build/recipes/late
    python -m recipes.late train --work build/recipes/late --seconds 4500
    python -m recipes.late write --work build/recipes/late --out build/recipes/late/out

`read` draws the form of every passage, mines candidates and keeps the states where query and
passage meet; `train` then computes the upper layers only, five times as many pairs an hour as
training all of them, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes import losses
from recipes.artefact import load_state
from recipes.attention import attend_products
from recipes.bert import Kernels, Ranker, Shape, layer_names
from recipes.calibration import calibration_error, fit_line
from recipes.corpus import Corpus
from recipes.fit import Clock, Log, Pace, Stage
from recipes.forms import formed, right_beside
from recipes.late_folder import write_late
from recipes.lists import Lists, Recipe, shares
from recipes.mine import Legs, Lexical, Mining, mine
from recipes.scoring import Scored
from recipes.second import read_second
from recipes.start import Tensors, load_start
from recipes.states import States, write_states
from recipes.upper import Asked, Pairs, Read, Step, Upper, joined_layers, packed, steps
from secondpass.evaluation.machine import machine, versions

JOIN, SEED = 9, 1
WINDOW = 384  # tokens of a row, about the longest that is trained on
TAUGHT = losses.Weights(teacher=1.0, sharpness=1.0)  # by logits, not by a mixture of z-scores
CPU_KERNELS = Kernels(attend_products, dtype=torch.bfloat16)
SIDES = (("passages", "passage"), ("queries", "query"), ("noised", "query"))


def read(args: argparse.Namespace) -> None:
    """The forms, the states and the candidates, each kept once it is whole."""
    plain = Corpus.load(args.data)
    data = args.work / "data"
    if not data.is_dir():
        idf = Lexical.build(plain, torch.device("cpu")).idf.numpy()
        corpus, beside = formed(plain, idf)
        part = args.work / "data.part"
        corpus.save(part)
        np.save(part / "beside.npy", beside)
        part.rename(data)
    corpus = Corpus.load(data)
    start = load_start(start_of(args))
    model = Ranker(Shape(layers=layers_of(start)))
    model.load_tensors(start)
    encoder, states = model.encoder.eval(), args.work / "states"
    for name, prefix in SIDES:
        if not (states / f"{name}.states.npy").is_file():
            rows = getattr(corpus, name)
            ids = corpus.prefixes[prefix]
            write_states(encoder, rows, ids, args.join, CPU_KERNELS, folder=states, name=name)
            print(f"read {len(rows):,} {name}", flush=True)
    if (args.work / "mined").is_dir():
        return
    legs = Legs(
        Lexical.build(corpus, torch.device("cpu")),
        torch.from_numpy(States.load(states, "passages").means),
        torch.from_numpy(States.load(states, "queries").means),
        None if args.second is None else read_second(corpus, args.second, args.work / "second"),
    )
    queries = np.arange(len(corpus.positive))
    right = right_beside(corpus, np.load(data / "beside.npy"))
    mined = mine(corpus, legs, Mining(block=128), queries=queries, also_right=right)
    mined.save(args.work / "mined")
    print(f"mined {int(mined.usable.sum()):,} of {len(queries):,} queries", flush=True)


def start_of(args: argparse.Namespace) -> Path:
    """The weights of the bi-encoder that is trained from."""
    start: Path = args.start or args.data / "start.npz"
    return start


def layers_of(start: Tensors) -> int:
    """How many layers these weights have."""
    return 1 + max(int(name.split(".")[2]) for name in start if name.startswith("encoder.layer."))


def opened(args: argparse.Namespace) -> tuple[Lists, Read]:
    """What `read` left behind."""
    recipe = Recipe(
        tokens=args.tokens, most_places=args.places, question_weight=args.question_weight
    )
    lists = Lists.open(args.work / "data", args.work / "mined", recipe, SEED)
    return lists, read_of(args.work)


def read_of(work: Path) -> Read:
    """The states in a working folder."""
    return Read(*(States.load(work / "states", name) for name, _ in SIDES))


def logits_of(model: Upper, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """float32[lists, places] and which of the places hold a passage."""
    places = torch.from_numpy(pairs.lists.astype(np.int64))
    return model(pairs, CPU_KERNELS)[places.clamp(min=0)], places >= 0


def validation(lists: Lists, count: int) -> list[Asked]:
    """Held-out queries with their right passage and all their candidates, always the same."""
    held = np.flatnonzero(np.asarray(lists.corpus.held_out) & np.asarray(lists.mined.usable))
    weights = shares(lists.corpus, held, lists.recipe.question_weight)
    likely = int(np.count_nonzero(weights))
    rng = np.random.default_rng(0)
    drawn = rng.choice(held, min(count, likely), replace=False, p=weights / weights.sum())
    asked = []
    for at in np.sort(drawn):
        found = np.asarray(lists.mined.candidates[at])
        kept = found >= 0
        right = int(lists.corpus.positive[at])
        teacher = np.concatenate([[lists.mined.right[at]], lists.mined.teacher[at][kept]])
        passages = np.concatenate([[right], found[kept]]).astype(np.int64)
        asked.append(Asked(int(at), False, passages, teacher.astype(np.float32)))
    return asked


def calibrating(lists: Lists, count: int) -> list[Asked]:
    """Held-out queries with lists as training draws them: what a probability is asked about.

    Not the validation's, where one passage of thirty is right and all others are hard.
    """
    rng = np.random.default_rng(1)
    others = lists.recipe.most_places - 1
    made = []
    for asked in validation(lists, count):
        wrong, _ = lists.wrong(asked.query, others, rng)
        passages = np.concatenate([asked.passages[:1], wrong])
        made.append(Asked(asked.query, False, passages, np.zeros(len(passages), np.float32)))
    return made


@torch.no_grad()
def scored(model: Upper, asked: list[Asked], read: Read) -> dict[str, Scored]:
    """The logits of these lists, beside the bi-encoder's cosines and the teacher's mixture."""
    places = max(len(each.passages) for each in asked)
    mask = torch.zeros(len(asked), places, dtype=torch.bool)
    named = {name: torch.zeros(len(asked), places) for name in ("late", "cosine", "mixture")}
    for at, each in enumerate(asked):
        pairs = packed([each], read)
        count = len(each.passages)
        mask[at, :count] = True
        named["late"][at, :count] = logits_of(model, pairs)[0][0]
        named["cosine"][at, :count] = torch.from_numpy(pairs.cosines)
        named["mixture"][at, :count] = torch.from_numpy(each.teacher)
    return {name: Scored(logits, mask) for name, logits in named.items()}


def model_of(args: argparse.Namespace) -> Upper:
    """The upper layers as the bi-encoder has them, or as they were trained before, or a teacher's."""
    torch.manual_seed(SEED)  # of the head
    start = load_start(start_of(args))
    model = Upper(Shape(layers=layers_of(start)), args.join)
    model.load_layers(start, layer_names)
    before = args.after or args.teacher
    if before is not None:
        model.load_upper(trained(before))
    return model


def trained(work: Path) -> dict[str, Tensor]:
    """The upper layers as they were trained so far."""
    state = load_state(work / "late.pt", torch.device("cpu"))
    if state is None:
        raise SystemExit(f"nothing is trained in '{work}'; run `train` first")
    model: dict[str, Tensor] = state["model"]
    return model


def teacher_of(args: argparse.Namespace) -> Upper | None:
    """A larger late join, from the same data, whose logits are learned from."""
    if args.teacher is None:
        return None
    state = trained(args.teacher)
    model = Upper(Shape(), Shape().layers - joined_layers(state))
    model.load_state_dict(state)
    return model.eval()


def train(args: argparse.Namespace) -> None:
    """So many seconds of training in all; a run that was stopped goes on."""
    lists, read = opened(args)
    teacher = teacher_of(args)
    theirs = None if teacher is None else read_of(args.teacher)
    log = Log(args.work / "log.jsonl")
    pace = Pace(args.rate, 5e-4, seconds=args.seconds, check_seconds=args.check_seconds)
    stage = Stage("late", model_of(args), pace, args.work / "late.pt", log)
    stage.restore(torch.device("cpu"))
    stage.done = pace.progress(stage.step, stage.spent) >= 1  # a longer run takes up a finished one
    held = validation(lists, args.checked)

    def loss_of(step: Step) -> Tensor:
        logits, mask = logits_of(model, step.pairs)
        soft = torch.from_numpy(step.pairs.soft)
        if teacher is None or step.teacher is None:
            mixture = torch.from_numpy(step.pairs.teacher)
            return losses.ranking_loss(logits, mixture, mask, soft, losses.Weights())
        with torch.no_grad():
            told, _ = logits_of(teacher, step.teacher)
        return losses.ranking_loss(logits, told, mask, soft, TAUGHT)

    def check() -> dict[str, object]:
        return {name: each.ndcg() for name, each in scored(model, held, read).items()}

    model = stage.model
    assert isinstance(model, Upper)
    log({"event": "begin", "step": stage.step, "spent": stage.spent, **check()})
    stage.train(steps(lists, read, stage.step, theirs), loss_of, check, Clock(args.seconds + 600))


def write(args: argparse.Namespace) -> None:
    """The model as it stands: calibrated on every second held-out list, measured on the others."""
    lists, read = opened(args)
    model = model_of(args)
    model.load_state_dict(trained(args.work))
    all_scored = scored(model, validation(lists, args.checked), read)
    late = scored(model, calibrating(lists, args.calibrated), read)["late"]
    right = np.zeros(late.mask.shape, bool)
    right[:, 0] = True
    logits, mask = late.logits.numpy(), late.mask.numpy()
    told, kept = (slice(at, None, 2) for at in (0, 1))
    a, b = fit_line(logits[told][mask[told]], right[told][mask[told]])
    held, truth = logits[kept][mask[kept]], right[kept][mask[kept]]
    start = load_start(start_of(args))
    facts = {"window_tokens": WINDOW, "first_stage_weight": 0.0}
    prefixes = lists.corpus.prefixes
    write_late(model, start, (a, b), prefixes=prefixes, folder=args.out, facts=facts)
    measured = {
        "line": [a, b],
        "error before": calibration_error(held, truth),
        "error": calibration_error(a * held + b, truth),
        **{name: each.ndcg() for name, each in all_scored.items()},
    }
    Log(args.work / "log.jsonl")({"event": "written", **measured})
    if args.figures is not None:
        keep_figures(args, measured)


def keep_figures(args: argparse.Namespace, measured: dict[str, object]) -> None:
    """What was measured on held-out queries, with the training's length and the machine."""
    state = load_state(args.work / "late.pt", torch.device("cpu"))
    assert state is not None
    figures = {
        "what": f"nDCG@10 of {args.checked} held-out queries over their right passage and up to 32 "
        f"mined ones; calibration error (ECE) of the lists of {args.calibrated} held-out queries as "
        "training draws them, every second of which the line through the logits was fitted on and "
        "the others measured",
        "seed": SEED,
        "steps": state["step"],
        "seconds": round(state["spent"]),
        "step_tokens": args.tokens,
        **measured,
        **machine(),
        "versions": versions("secondpass", "torch", "numpy"),
    }
    args.figures.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("read", "train", "write"))
    parser.add_argument("--data", type=Path, default=Path("build/recipes/little"))
    parser.add_argument("--work", type=Path, default=Path("build/recipes/late"))
    parser.add_argument(
        "--start", type=Path, help="the bi-encoder (default: start.npz of the data)"
    )
    parser.add_argument("--join", type=int, default=JOIN, help="layers below the join")
    parser.add_argument("--teacher", type=Path, help="the working folder of a larger late join")
    parser.add_argument("--after", type=Path, help="the working folder of a run to go on from")
    parser.add_argument("--second", type=Path, help="an English bi-encoder whose word counts too")
    parser.add_argument("--out", type=Path, default=Path("build/recipes/late/out"))
    parser.add_argument("--figures", type=Path, help="a file for what `write` measures")
    parser.add_argument("--seconds", type=float, default=4500, help="of training, in all")
    parser.add_argument("--tokens", type=int, default=8192, help="of a step")
    parser.add_argument("--places", type=int, default=8, help="of a list")
    parser.add_argument(
        "--question-weight", type=float, default=4, help="how much oftener questions are drawn"
    )
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--checked", type=int, default=200, help="lists that are validated on")
    parser.add_argument("--calibrated", type=int, default=400, help="lists that are calibrated on")
    parser.add_argument("--check-seconds", type=float, default=300)
    args = parser.parse_args()
    {"read": read, "train": train, "write": write}[args.what](args)


if __name__ == "__main__":
    main()
