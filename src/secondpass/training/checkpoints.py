"""How far did a run get? What its checkpoints say, read without the library that wrote them.

The trainer writes trainer_state.json last, so a checkpoint that a kill cut short lacks it or has it
in part: such folders are no checkpoints, and are removed.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = "trainer_state.json"
WEIGHTS = "model.safetensors"
SECONDS = "seconds.json"  # how long training took up to here, over all processes


@dataclass(frozen=True, slots=True)
class Measured:
    """nDCG@10 on the validation lists after a step, and the mean loss since the one before."""

    step: int
    ndcg: float
    loss: float | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: how far training was, and what had been measured by then.

    `finished` says that it was the last one: all steps were done, or patience was at an end.
    """

    folder: Path
    step: int
    steps: int
    best_step: int
    best_ndcg: float
    finished: bool
    seconds: float
    history: tuple[Measured, ...]

    @property
    def best_weights(self) -> Path:
        """The weights that measured best, by the names of transformers."""
        return self.folder.with_name(f"checkpoint-{self.best_step}") / WEIGHTS


def latest(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint in `folder`, None where there is none; those in part are removed."""
    found = [(_read(path), path) for path in folder.glob("checkpoint-*")]
    for state, path in found:
        if state is None:
            shutil.rmtree(path)
    whole = [state for state, _ in found if state is not None]
    return max(whole, key=lambda one: one.step, default=None)


def _read(path: Path) -> Checkpoint | None:
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        seconds = json.loads((path / SECONDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    control = state["stateful_callbacks"]["TrainerControl"]["args"]
    return Checkpoint(
        folder=path,
        step=int(state["global_step"]),
        steps=int(state["max_steps"]),
        best_step=int(state["best_global_step"]),
        best_ndcg=float(state["best_metric"]),
        finished=bool(control["should_training_stop"]),
        seconds=float(seconds),
        history=tuple(_history(state["log_history"])),
    )


def _history(log: list[dict[str, Any]]) -> list[Measured]:
    losses: list[float] = []
    measured = []
    for line in log:
        if "loss" in line:
            losses.append(float(line["loss"]))
        if "eval_ndcg@10" in line:
            loss = sum(losses) / len(losses) if losses else None
            measured.append(Measured(int(line["step"]), float(line["eval_ndcg@10"]), loss))
            losses = []
    return measured
