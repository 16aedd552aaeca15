"""One stage of training: steps, their rate, checkpoints, and the end in time.

Which lists a step sees depends on the seed and the step alone, so a stage that was cut off goes on
where it stood.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from recipes.artefact import load_state, save_state


class Step(Protocol):
    """What one step learns from; `ids` has as many entries as there are tokens."""

    @property
    def ids(self) -> Sized:
        """One entry a token."""


StepT = TypeVar("StepT", bound=Step)
LossOf = Callable[[StepT], Tensor]


class Clock:
    """How much of a slice is left."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, below 0 when the time is over."""
        return self.ends - time.monotonic()


class Log:
    """JSON lines, in a file and on the screen."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def __call__(self, facts: dict[str, object]) -> None:
        """Write one line; numbers to five digits."""
        short = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in facts.items()}
        line = json.dumps({"at": round(time.time(), 1), **short}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a stage is, and how fast it learns.

    Its length is `steps`, or `seconds` of training where steps is 0. The rate rises over the first
    `warm` of it and falls in a line to `floor` of itself.
    """

    rate: float
    head_rate: float
    seconds: float = 0
    steps: int = 0
    warm: float = 0.04
    floor: float = 0.02
    check_seconds: float = 60

    def progress(self, step: int, spent: float) -> float:
        """From 0 to 1."""
        return step / self.steps if self.steps else spent / self.seconds

    def factor(self, progress: float) -> float:
        """What the rate is multiplied by."""
        if progress < self.warm:
            return max(progress, 1e-3) / self.warm
        return max(self.floor, (1 - progress) / (1 - self.warm))


def optimizer_of(model: nn.Module, pace: Pace) -> torch.optim.AdamW:
    """AdamW with decay on matrices only, and the head's own rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            head = any(part in name.split(".") for part in ("dense", "logit", "cosine"))
            decay = 0.01 if parameter.ndim > 1 else 0.0
            key = (pace.head_rate if head else pace.rate, decay)
            groups.setdefault(key, []).append(parameter)
    fused = next(model.parameters()).device.type == "cuda"
    made = [
        {"params": found, "lr": rate, "start_rate": rate, "weight_decay": decay}
        for (rate, decay), found in groups.items()
    ]
    return torch.optim.AdamW(made, betas=(0.9, 0.98), fused=fused)


@dataclass(slots=True, eq=False)
class Stage:
    """A stage under way: what is trained, how, and how far it is."""

    name: str
    model: nn.Module
    pace: Pace
    path: Path
    log: Log
    step: int = 0
    spent: float = 0.0
    done: bool = False

    def train(
        self, batches: Iterator[StepT], loss_of: LossOf[StepT], check: Check, clock: Clock
    ) -> bool:
        """Steps until the stage or the slice is over; whether the stage is.

        `batches` must begin at `self.step`. `check` is asked for measures from time to time.
        """
        optimizer = optimizer_of(self.model, self.pace)
        self._restore_optimizer(optimizer)
        began, checked, tokens, losses = time.monotonic(), time.monotonic(), 0, Tensor()
        spent_before, margin = self.spent, 10.0 if clock.left() > 60 else 2.0
        while not self.done and clock.left() > margin:
            progress = self.pace.progress(self.step, self.spent)
            batch = next(batches)
            for group in optimizer.param_groups:
                group["lr"] = group["start_rate"] * self.pace.factor(progress)
            loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            self.step += 1
            tokens += len(batch.ids)
            losses = torch.cat([losses.to(loss.device), loss.detach()[None]])
            if self.step % SYNC_STEPS == 0:
                loss.item()  # the device may lag behind the clock
            self.spent = spent_before + time.monotonic() - began
            self.done = self.pace.progress(self.step, self.spent) >= 1
            if self.done or time.monotonic() - checked > self.pace.check_seconds:
                rate = tokens / (time.monotonic() - checked)
                self._report(losses, rate, check)
                self.save(optimizer)
                checked, tokens, losses = time.monotonic(), 0, Tensor()
        self.save(optimizer)
        return self.done

    def _report(self, losses: Tensor, rate: float, check: Check) -> None:
        mean = float(losses.mean())
        if math.isnan(mean):  # NaN: what follows would be worthless
            raise FloatingPointError(
                f"the loss of '{self.name}' is no number at step {self.step}; lower the rate, "
                "then resume from the last checkpoint"
            )
        self.model.eval()
        facts = {"stage": self.name, "step": self.step, "spent": self.spent, "loss": mean}
        self.log({**facts, "tokens_per_second": round(rate), **check()})
        self.model.train()

    def save(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Write the checkpoint; without the optimizer once the stage is done."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "done": self.done,
        }
        if optimizer is not None and not self.done:
            state["optimizer"] = optimizer.state_dict()
        save_state(self.path, state)

    def restore(self, device: torch.device) -> bool:
        """Take the checkpoint where there is one; whether there was."""
        state = load_state(self.path, device)
        if state is None:
            return False
        self.model.load_state_dict(state["model"])
        self.step, self.spent, self.done = state["step"], state["spent"], state["done"]
        return True

    def _restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        device = next(self.model.parameters()).device
        state = load_state(self.path, device)
        if state is not None and "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])


SYNC_STEPS = 8
Check = Callable[[], dict[str, object]]
