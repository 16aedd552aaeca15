"""How do lists become weights? By the trainer of sentence-transformers, on our steps and our loss.

A checkpoint holds all that a run needs to go on: weights, optimiser, schedule, random numbers and
what was measured. On a CPU a run that was killed ends with the very weights of one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from transformers import EarlyStoppingCallback, PrinterCallback
from transformers.utils import logging as library_logging

from secondpass.engine.batching import Row
from secondpass.engine.pairs import PairTokenizer
from secondpass.errors import EngineError, InvalidInput, ModelError
from secondpass.training import late_join
from secondpass.training.batches import CHUNKS, EncodedLists
from secondpass.training.checking import MEASURE, HeldOut, Telling, tensors_of
from secondpass.training.checkpoints import SECONDS, WEIGHTS, Checkpoint, latest
from secondpass.training.kept_states import KeptStates, Sides, forget
from secondpass.training.lists import TrainingList
from secondpass.training.losses import ListLoss, Weights
from secondpass.training.progress import Watch
from secondpass.training.recipe import Recipe

WARMUP = 0.1  # of the steps: the learning rate rises over them, and falls over the others
WEIGHT_DECAY = 0.01
LOG_EVERY = 10
BF16_PRODUCTS = ("avx512_bf16", "amx_bf16")  # x86 instructions that make bf16 the faster one


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What is to be done: the start's folder, the lists, the steps by number, and where to keep."""

    recipe: Recipe
    start: Path
    lists: EncodedLists
    steps: list[list[int]]
    validation: Sequence[TrainingList]
    tokenizer: PairTokenizer
    folder: Path
    watch: Watch = field(default_factory=Watch)

    @property
    def check_every(self) -> int:
        """Steps from one measure to the next: a tenth of the run where the recipe does not say."""
        return self.recipe.check_every or max(1, len(self.steps) // 10)


def fit(task: Fit) -> Checkpoint:
    """Train, from the last checkpoint on where there is one; returns the last checkpoint.

    Raises EngineError where the loss is no number, and InvalidInput where a GPU's memory is too
    small for the steps.
    """
    there = latest(task.folder)
    if there is not None and there.finished:
        return there
    try:
        with _quiet():
            trainer = _trainer(task, 0.0 if there is None else there.seconds)
            trainer.train(resume_from_checkpoint=None if there is None else str(there.folder))
    except torch.OutOfMemoryError as error:
        raise InvalidInput(
            f"batch_tokens={task.recipe.batch_tokens} are more than the memory of the GPU takes; "
            "expected a step that fits; pass half of it: --batch-tokens "
            f"{task.recipe.batch_tokens // 2}"
        ) from error
    forget(task.folder)
    done = latest(task.folder)
    if done is None:
        raise EngineError(f"training left no checkpoint in '{task.folder}'; run it again")
    return done


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from saying in its own words what a run says in ours."""
    level, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity(logging.ERROR)
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        library_logging.set_verbosity(level)
        if bars:
            library_logging.enable_progress_bar()


def trained_on(recipe: Recipe) -> str:
    """The device and the numbers that a run would use here: 'cpu, fp32' or 'cuda, bf16'."""
    device = "cpu" if _on_cpu(recipe) else torch.accelerator.current_accelerator()
    return f"{device}, {'bf16' if _bf16(recipe) else 'fp32'}"


def _on_cpu(recipe: Recipe) -> bool:
    return recipe.device == "cpu" or not torch.accelerator.is_available()


def _bf16(recipe: Recipe) -> bool:
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    if not _on_cpu(recipe):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    found: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    can = found()  # empty where PyTorch is too old to tell
    return any(can.get(name, False) for name in BF16_PRODUCTS)


def _trainer(task: Fit, seconds: float) -> ListTrainer:
    recipe = task.recipe
    late_join.register()
    model = CrossEncoder(
        str(task.start),
        device="cpu" if _on_cpu(recipe) else None,
        local_files_only=True,
        trust_remote_code=False,
    )
    held_out = HeldOut(
        task.validation, task.tokenizer, task.lists.spec, task.lists.reach.window_tokens
    )
    started = time.monotonic()
    if (joined := late_join.frozen_in(model)) is not None:
        held_out.kept = _kept(task, joined, held_out.rows)
    reading = time.monotonic() - started
    return ListTrainer(task, model, held_out, Telling(task.watch, seconds + reading))


def _kept(
    task: Fit, model: late_join.LateJoinBertForSequenceClassification, rows: Sequence[Row]
) -> KeptStates | None:
    """What the frozen layers say of the training rows and of `rows`; None where it has no room."""
    sides = Sides.of(chain(task.lists.rows(), rows))
    size = sides.tokens * model.config.hidden_size * np.dtype(np.float16).itemsize / 1e6
    task.folder.mkdir(parents=True, exist_ok=True)
    bf16 = _bf16(task.recipe)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        kept = KeptStates.compute(
            model,
            sides,
            task.folder,
            precision="bf16" if bf16 else "fp32",
            on_tokens=lambda done, total: task.watch.at("reading tokens", done, total),
        )
    task.watch.say(
        f"the layers below the join read {len(sides.starts)} queries and texts once: {size:,.0f} MB "
        f"in '{task.folder}' until the end"
        if kept is not None
        else f"the disk has too little room for {size:,.0f} MB of states: the layers below the join "
        "are computed anew at each step, which takes two to three times as long"
    )
    return kept


def _arguments(task: Fit) -> CrossEncoderTrainingArguments:
    recipe, every = task.recipe, task.check_every
    on_cpu = _on_cpu(recipe)
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(task.folder),
        num_train_epochs=1,  # of the plan, which has the epochs in it
        per_device_train_batch_size=1,
        learning_rate=recipe.rate(join_layer=task.lists.spec.join_layer),
        weight_decay=WEIGHT_DECAY,
        warmup_steps=math.ceil(WARMUP * len(task.steps)),
        seed=recipe.seed,
        bf16=_bf16(recipe),
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu and torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the last and the best; at 1 the end of a run would remove the last
        load_best_model_at_end=True,
        metric_for_best_model=MEASURE,
        greater_is_better=True,
        logging_steps=min(every, LOG_EVERY),
        logging_nan_inf_filter=False,  # it would hide a loss that is no number
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # nn.DataParallel cannot share out a step's lists
    return arguments


class ListTrainer(CrossEncoderTrainer):
    """The library's trainer on planned steps, with checkpoints of weights alone and no card."""

    def __init__(self, task: Fit, model: CrossEncoder, held_out: HeldOut, telling: Telling) -> None:
        recipe = task.recipe
        self._steps = task.steps
        self._telling = telling
        chunk_tokens = max(1, recipe.batch_tokens // CHUNKS)
        weights = Weights(recipe.pointwise, recipe.teacher_weight, recipe.temperature)
        super().__init__(
            model=model,
            args=_arguments(task),
            train_dataset=datasets.Dataset.from_dict({"list": range(len(task.lists))}),
            loss=ListLoss(model, recipe.loss, weights),
            evaluator=held_out,
            data_collator=Collator(task.lists, chunk_tokens, held_out.kept),  # type: ignore[arg-type]
            callbacks=[telling],
        )
        self.remove_callback(PrinterCallback)
        if recipe.patience:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=recipe.patience))

    def get_batch_sampler(  # type: ignore[override]
        self, dataset: datasets.Dataset, **_: object
    ) -> PlannedSteps:
        """Our steps, in the place of batches of so many lists."""
        return PlannedSteps(dataset, self._steps)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Nothing: training.card writes the card."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.detach().to("cpu", torch.float32).contiguous()
            for name, value in _network(self.model).state_dict().items()
        }
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / SECONDS).write_text(json.dumps(self._telling.seconds()), encoding="utf-8")

    def _load_from_checkpoint(self, checkpoint_path: str, model: object = None) -> None:
        _network(self.model).load_state_dict(load_file(Path(checkpoint_path) / WEIGHTS))


def _network(model: CrossEncoder) -> torch.nn.Module:
    if model.model is None:
        raise ModelError("the start model has no network of transformers; choose another start")
    return model.model


class PlannedSteps(DefaultBatchSampler):
    """The numbers of the lists of each step, as planned."""

    def __init__(self, dataset: datasets.Dataset, steps: list[list[int]]) -> None:
        super().__init__(dataset, batch_size=1, drop_last=False)
        self._steps = steps

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


class Collator:
    """Numbers of lists -> what the loss takes."""

    valid_label_columns = ("label",)

    def __init__(
        self, lists: EncodedLists, chunk_tokens: int, kept: KeptStates | None = None
    ) -> None:
        self._lists = lists
        self._chunk_tokens = chunk_tokens
        self._kept = kept

    def __call__(self, numbers: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        step = self._lists.step([one["list"] for one in numbers], chunk_tokens=self._chunk_tokens)
        return {
            "label": [torch.from_numpy(one) for one in step.labels],
            "chunks": [tensors_of(chunk, self._kept) for chunk in step.chunks],
            "places": torch.from_numpy(step.places),
            "sizes": step.sizes,
            "scores": [torch.from_numpy(one) for one in step.scores],
        }
