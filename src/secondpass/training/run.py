"""From a recipe to a model: every stage in its order, and where a run that was killed goes on.

data -> (teacher) -> held out, training -> start -> tokens -> steps -> fit -> deliver -> card -> OUT

Until OUT is there everything is in OUT.training: what was asked, the start, checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from secondpass.engine.cores import usable_cores
from secondpass.engine.export import FACTS
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import read_json
from secondpass.errors import InvalidInput, MissingExtra
from secondpass.training.batches import EncodedLists, plan_steps
from secondpass.training.card import MOST_ERROR, DataFile, Measures, Provenance, write_card
from secondpass.training.checkpoints import Checkpoint, latest
from secondpass.training.delivery import assemble, deliver, write_facts
from secondpass.training.distilling import Mixture, distil
from secondpass.training.held_out import LEAST, split
from secondpass.training.lists import TrainingList, read_lists
from secondpass.training.measures import order_quality
from secondpass.training.progress import Watch
from secondpass.training.recipe import Recipe
from secondpass.training.scoring import Logits, folder_score, score_lists
from secondpass.training.start import Start, prepare_start, write_json

EXTRA = "train"
NEEDED = ("torch", "sentence_transformers", "datasets", "accelerate", "filelock")
LOCK = ".lock"
ASKED, RECIPE, START_NDCG, SCORED = "asked.json", "recipe.toml", "start.json", "scored.jsonl"


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a run: the new folder, how long it took, and what was measured."""

    out: Path
    lists: int
    steps: int
    best_step: int
    seconds: float
    measures: Measures


@dataclass(frozen=True, slots=True)
class Run:
    """A run and where it keeps what it has: `work` is OUT.training."""

    recipe: Recipe
    out: Path
    work: Path
    offline: bool = False
    watch: Watch = field(default_factory=Watch)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """The lists of a run as tokens, and the start model that reads them."""

    start: Start
    tokenizer: PairTokenizer
    training: EncodedLists
    validation: list[TrainingList]
    max_tokens: int


def train(
    recipe: Recipe,
    *,
    restart: bool = False,
    keep_checkpoints: bool = False,
    offline: bool = False,
    watch: Watch | None = None,
) -> Trained:
    """Train a model by a recipe, and write it to the new folder that the recipe names.

    A run that was killed goes on where its last checkpoint stands, unless `restart` removes what it
    left. Raises MissingExtra without the extra 'train', InvalidInput for a recipe, data or an earlier
    run that do not fit, and ModelError for a start that cannot be used, or where int8 costs too much.
    """
    recipe.complete()
    if any(find_spec(module) is None for module in NEEDED):
        raise MissingExtra("training", EXTRA)
    out = Path(recipe.out).expanduser()
    if out.exists():
        raise InvalidInput(f"'{out}' exists; expected the name of a new folder; choose another")
    run = Run(recipe, out, out.with_name(f"{out.name}.training"), offline, watch or Watch())
    files, lists = read_data(recipe.data)
    with _alone(run):
        _begin(run, files, restart=restart)
        trained = _whole(run, files, lists)
    if not keep_checkpoints:
        shutil.rmtree(run.work)
    return trained


def _whole(run: Run, files: list[DataFile], lists: list[TrainingList]) -> Trained:
    recipe, out = run.recipe, run.out
    lists = _taught(run, lists)
    lessons = _lessons(run, lists)
    before = _start_quality(run, lessons)
    point = _fit(run, lessons)
    held_out = lessons.validation
    quality = deliver(
        lessons.start.folder,
        point.best_weights,
        run.work,
        held_out,
        most_cost=recipe.most_cost,
        on_list=lambda done, total: run.watch.at("measuring", done, total),
    )
    measures = Measures(len(held_out), _own_order(held_out), before, quality)
    made = Provenance(
        name=out.name,
        start=lessons.start,
        files=files,
        lists=lessons.training.lists,
        checkpoint=point,
        max_tokens=lessons.max_tokens,
        machine=_machine(recipe),
        measures=measures,
    )
    assemble(run.work, out, card=write_card(made, recipe), recipe=recipe.to_toml())
    _say_doubts(run, measures)
    return Trained(out, len(lessons.training), point.step, point.best_step, point.seconds, measures)


def read_data(data: Sequence[str]) -> tuple[list[DataFile], list[TrainingList]]:
    """The lists of all files, and what the files are; InvalidInput where there are none."""
    files: list[DataFile] = []
    lists: list[TrainingList] = []
    for name in data:
        path = Path(name).expanduser()
        some = list(read_lists(path))
        texts = sum(len(one.texts) for one in some)
        files.append(DataFile(path.name, len(some), texts, _sha256(path)))
        lists += some
    if not lists:
        raise InvalidInput(f"{', '.join(data)} holds no lists; `secondpass mine` writes some")
    return files, lists


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Hold OUT.training against a second run; the lock of a killed run ends with it."""
    from filelock import FileLock, Timeout

    run.work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.work / LOCK, timeout=0):
            yield
    except Timeout:
        raise InvalidInput(
            f"another run is at work in '{run.work}'; wait for it, stop it, or choose another --out"
        ) from None


def _begin(run: Run, files: Sequence[DataFile], *, restart: bool) -> None:
    """Make OUT.training, or find that what is in it belongs to this very run."""
    if restart:
        for left in run.work.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
    asked = [one.sha256 for one in files]
    validation = Path(run.recipe.validation or "").expanduser()
    if validation.is_file():  # where it is none, `split` says so
        asked.append(_sha256(validation))
    if (run.work / ASKED).is_file():
        other = Recipe.read({}, run.work / RECIPE)
        different = run.recipe.difference(other)
        if different is None and read_json(run.work / ASKED)["files"] != asked:
            different = "other contents of the data files"
        if different is not None:
            raise InvalidInput(
                f"'{run.work}' is of a run with {different}; expected the same run, to go on with "
                "it; pass --restart to begin anew, or another --out"
            )
    else:
        run.work.mkdir(parents=True, exist_ok=True)
        (run.work / RECIPE).write_text(run.recipe.to_toml(), encoding="utf-8")
        write_json(run.work / ASKED, {"files": asked})


def _taught(run: Run, lists: list[TrainingList]) -> list[TrainingList]:
    """The lists with the scores of the recipe's teachers, where it names any."""
    if not run.recipe.teacher:
        return lists
    path = run.work / SCORED
    if not path.is_file():
        mixture = Mixture(run.recipe.teacher, run.recipe.teacher_share)
        done = distil(lists, path, mixture, offline=run.offline, watch=run.watch)
        if done.left_out:
            run.watch.say(f"{done.left_out} lists left out: their queries fill a teacher")
    return list(read_lists(path))


def _lessons(run: Run, lists: list[TrainingList]) -> Lessons:
    recipe = run.recipe
    found = split(lists, recipe)
    if found.also_held_out:
        run.watch.say(
            f"{found.also_held_out} lists are not trained on: their queries are in "
            f"'{recipe.validation}'"
        )
    start = prepare_start(
        recipe.start,
        run.work / "start",
        layers=recipe.layers,
        seed=recipe.seed,
        offline=run.offline,
    )
    for line in start.said:
        run.watch.say(line)
    max_tokens = _settle_window(start, recipe)
    tokenizer = PairTokenizer.load(start.folder, vocabulary=start.spec.vocabulary)
    training, validation = (
        EncodedLists(
            some,
            tokenizer,
            start.spec,
            max_tokens,
            lambda done, total: run.watch.at("tokenizing", done, total),
        )
        for some in (found.training, found.validation)
    )
    for what, encoded in (("training", training), ("validation", validation)):
        if encoded.left_out:
            run.watch.say(f"{encoded.left_out} {what} lists left out: their queries fill the model")
    _check_readable(training, validation)
    if training.cut:
        run.watch.say(
            f"{training.cut} texts are longer than a row of {max_tokens} tokens: their beginnings "
            "are learnt from"
        )
    return Lessons(start, tokenizer, training, validation.lists, max_tokens)


def _check_readable(training: EncodedLists, validation: EncodedLists) -> None:
    """Raise InvalidInput where what the model can read is too little to go on with."""
    found = "none of the training lists" if not len(training) else None
    if found is None and len(validation) < LEAST:
        found = f"{len(validation)} of the validation lists"
    if found is not None:
        raise InvalidInput(
            f"{found} has a query that leaves room for a text; expected shorter queries, and {LEAST} "
            "lists or more to measure on; choose a start model that reads more"
        )


def _settle_window(start: Start, recipe: Recipe) -> int:
    """The longest row of the run, which becomes the window of the new model."""
    wanted = start.spec.window_tokens if recipe.max_tokens is None else recipe.max_tokens
    if wanted > start.spec.max_tokens:
        raise InvalidInput(
            f"max_tokens={wanted} exceeds the limit of '{start.name}', {start.spec.max_tokens}; "
            "pass a smaller value, or leave it out"
        )
    facts = read_json(start.folder / FACTS, optional=True)
    write_facts(start.folder, facts | {"window_tokens": wanted})
    return wanted


def _start_quality(run: Run, lessons: Lessons) -> float | None:
    """nDCG@10 of the start model; None where its head is a fresh one."""
    if lessons.start.fresh_head:
        return None
    known = run.work / START_NDCG
    if known.is_file():
        return float(json.loads(known.read_text(encoding="utf-8")))
    lists = lessons.validation
    logits = score_lists(
        folder_score(lessons.start.folder, "fp32"),
        lists,
        lambda done, total: run.watch.at("measuring", done, total),
    )
    found = order_quality(logits, lists)
    run.watch.say(f"nDCG@10 before training: {found:.4f} on {len(lists)} held-out lists")
    known.write_text(json.dumps(found), encoding="utf-8")
    return found


def _fit(run: Run, lessons: Lessons) -> Checkpoint:
    from secondpass.training.fitting import Fit, fit

    recipe = run.recipe
    steps = plan_steps(
        lessons.training.tokens,
        batch_tokens=recipe.batch_tokens,
        epochs=recipe.epochs,
        steps=recipe.steps,
        seed=recipe.seed,
    )
    folder = run.work / "checkpoints"
    if (there := latest(folder)) is not None:
        run.watch.say(
            f"going on after step {there.step} of {there.steps}, from '{run.work}'; --restart "
            "begins anew"
        )
    return fit(
        Fit(
            recipe,
            lessons.start.folder,
            lessons.training,
            steps,
            lessons.validation,
            lessons.tokenizer,
            folder,
            run.watch,
        )
    )


def _own_order(lists: Sequence[TrainingList]) -> float | None:
    """nDCG@10 of ordering by the scores in the lists; None where one has none."""
    scores: list[Logits] = [np.array(one.scores or (), dtype=np.float32) for one in lists]
    return order_quality(scores, lists) if all(map(len, scores)) else None


def _machine(recipe: Recipe) -> str:
    from secondpass.training.fitting import trained_on

    return f"{trained_on(recipe)}; {usable_cores()} cores of {platform.machine()}"


def _say_doubts(run: Run, measures: Measures) -> None:
    quality = measures.quality
    if quality.cost > run.recipe.most_cost:
        run.watch.say(
            f"int8 costs {quality.cost:.4f} of nDCG@10 here, give or take {quality.doubt:.4f}: "
            f"{measures.lists} lists are too few to tell that from {run.recipe.most_cost:g}; more "
            "validation lists would"
        )
    if measures.start is not None and quality.fp32 < measures.start:
        run.watch.say(
            f"the start model is better on the held-out lists: nDCG@10 {measures.start:.4f}, after "
            f"training {quality.fp32:.4f}; try a lower learning rate, or more data"
        )
    if quality.calibrated.error_after > MOST_ERROR:
        run.watch.say(
            f"the calibration error is {quality.calibrated.error_after:.3f}, above {MOST_ERROR:g}: "
            "the probabilities are rough; more validation lists make them better"
        )
