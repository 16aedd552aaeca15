"""What is seen while a model trains? nDCG@10 on the held-out lists, the loss, and the time left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.model import BaseModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from secondpass.engine.batching import Row, plan_batches
from secondpass.engine.cross_encoder import Limits, best_windows
from secondpass.engine.encode import encode_pairs
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.errors import EngineError
from secondpass.training.batches import Chunk, padded
from secondpass.training.kept_states import KeptStates
from secondpass.training.lists import TrainingList
from secondpass.training.measures import order_quality
from secondpass.training.progress import Pace, Watch, spoken

MEASURE = "ndcg@10"
CHECKED_TOKENS = 4096  # at once: nothing is kept for gradients, so padding is what counts


class HeldOut(BaseEvaluator):
    """nDCG@10 on the validation lists, of which long texts are read by windows, as the engine does."""

    def __init__(
        self,
        lists: Sequence[TrainingList],
        tokenizer: PairTokenizer,
        spec: ModelSpec,
        max_tokens: int,
    ) -> None:
        super().__init__()
        self.primary_metric = MEASURE
        self._lists = lists
        self._spec = spec
        reach = Limits(window_tokens=max_tokens).reach(spec)
        pairs = [(one.query, text) for one in lists for text in one.texts]
        self._encoded = encode_pairs(pairs, tokenizer, reach, spec.token_types)
        self.kept: KeptStates | None = None  # of a model whose lower layers are frozen

    @property
    def rows(self) -> Sequence[Row]:
        """What is read at each measure."""
        return self._encoded.rows

    @torch.no_grad()
    def __call__(
        self,
        model: BaseModel,
        output_path: str | None = None,
        epoch: float = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        model.eval()
        rows = self._encoded.rows
        logits = np.empty(len(rows), dtype=np.float32)
        for batch in plan_batches([len(row.ids) for row in rows], max_tokens=CHECKED_TOKENS):
            chunk = tensors_of(padded([rows[at] for at in batch], self._spec), self.kept)
            inputs = {name: value.to(model.device) for name, value in chunk.items()}
            logits[batch] = model(inputs)["scores"].view(-1).float().cpu().numpy()
        sizes = [len(one.texts) for one in self._lists]
        best = best_windows(logits, self._encoded, sum(sizes)).logits
        return {MEASURE: order_quality(np.split(best, np.cumsum(sizes)[:-1]), self._lists)}


class Telling(TrainerCallback):
    """Tells who watches how far it is, and stops a run whose loss is no number."""

    def __init__(self, watch: Watch, seconds: float) -> None:
        self._watch = watch
        self._before = seconds
        self._loss = math.nan
        self._pace: Pace | None = None
        self._best = -math.inf

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Start the clock."""
        self._pace = Pace(state.global_step, state.max_steps)
        self._best = -math.inf if state.best_metric is None else state.best_metric

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Say how many steps are done."""
        self._watch.at("training", state.global_step, state.max_steps)

    def on_log(  # type: ignore[override]
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **_: object,
    ) -> None:
        """Keep the loss; raise where it is no number."""
        self._loss = logs.get("loss", self._loss)
        if "loss" in logs and not math.isfinite(self._loss):
            raise EngineError(
                f"the loss is {self._loss} at step {state.global_step}; expected a number; begin "
                f"anew with --restart and a lower --learning-rate than {args.learning_rate:g}"
            )

    def on_evaluate(  # type: ignore[override]
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float],
        **_: object,
    ) -> None:
        """Say what was measured, and how long the rest takes."""
        assert self._pace is not None
        value, left = metrics[f"eval_{MEASURE}"], self._pace.left(state.global_step)
        best = " (best so far)" if value > self._best else ""
        rest = "" if not left else f", {spoken(left)} left"
        self._best = max(self._best, value)
        self._watch.say(
            f"step {state.global_step} of {state.max_steps}: loss {self._loss:.4f}, "
            f"nDCG@10 {value:.4f}{best}{rest}"
        )

    def seconds(self) -> float:
        """How long training took so far, over all processes."""
        return self._before + (0.0 if self._pace is None else self._pace.passed())


def tensors_of(chunk: Chunk, kept: KeptStates | None = None) -> dict[str, torch.Tensor]:
    """A chunk as the library's models take it, with what was computed of its rows before."""
    inputs = {"input_ids": chunk.ids, "attention_mask": chunk.mask}
    if chunk.types is not None:
        inputs["token_type_ids"] = chunk.types
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    return tensors if kept is None else tensors | kept.given(chunk)
