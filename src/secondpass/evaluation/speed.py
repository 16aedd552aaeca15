"""Which engine is how fast? All of them in turn, round by round, on the same texts and weights.

A loaded machine slows every engine of a round alike, so that ratios are taken within a round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from secondpass.errors import EngineError, InvalidInput
from secondpass.evaluation.peers.table import OURS
from secondpass.evaluation.processes import Home, Process
from secondpass.evaluation.workload import Workload

REFERENCE = "secondpass-fp32"
SAME = 0.95  # an engine whose logits correlate less with ours does another job
ROUNDS_FOR_P95 = 20  # of fewer, the 95th percentile would be the maximum by another name


@dataclass(frozen=True, slots=True)
class Setup:
    """What all engines share. `plain` is `model` as float32 safetensors, for those of others."""

    model: Path
    plain: Path
    threads: int
    max_tokens: int
    cache: Path


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine of peers.table, and where it runs."""

    name: str
    home: Home


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine's times in milliseconds, a round each, and what it answered."""

    name: str
    policy: str
    versions: Mapping[str, str]
    load_s: float
    resident_mb: float | None
    peak_mb: float | None
    ms: tuple[float, ...]
    logits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """All engines in the order given; `refused` has the reason of each that could not be measured.

    `reference` are the logits of our float32, that the others' are compared with.
    """

    measured: list[Measured]
    refused: dict[str, str]
    reference: tuple[float, ...]


@dataclass(slots=True)
class _Running:
    process: Process
    loaded: dict[str, Any]
    answers: list[dict[str, Any]] = field(default_factory=list)


def measure(
    engines: Sequence[Engine],
    setup: Setup,
    workload: Workload,
    rounds: int,
    on_step: Callable[[str], None] = lambda what: None,
    *,
    seconds: float = math.inf,
) -> Result:
    """Load every engine, let each score once unmeasured, then all in turn, `rounds` times.

    After the first, a round begins only if one as long as the last ends within `seconds` from the
    start. `on_step` is told what begins. An engine that fails is left out from there on, and its
    reason is in the result.
    """
    if rounds < 1:
        raise InvalidInput(f"rounds={rounds} measures nothing; pass 1 or more")
    running: dict[str, _Running] = {}
    refused: dict[str, str] = {}
    request = {"query": workload.query, "texts": list(workload.texts)}
    began = last = time.perf_counter()
    try:
        reference = _reference(engines, setup, request)
        for engine in engines:
            on_step(f"loading {engine.name}")
            _load(engine, setup, running, refused)
        for at in range(rounds + 1):
            now = time.perf_counter()
            if at > 1 and now + (now - last) > began + seconds:
                break
            last = now
            for name in list(running):
                on_step(f"round {at} of {rounds}: {name}" if at else f"warming up {name}")
                _score(name, request, running, refused)
    finally:
        for each in running.values():
            each.process.close()
    measured = [_measured(name, each) for name, each in running.items()]
    return Result(measured, refused, reference)


def _reference(
    engines: Sequence[Engine], setup: Setup, request: Mapping[str, Any]
) -> tuple[float, ...]:
    """Our float32 logits, from a process that is gone before the measuring begins."""
    home = next((one.home for one in engines if one.name in OURS), None)
    if home is None:
        raise InvalidInput("no engine of secondpass is among the engines; add one to compare with")
    process = Process(home, setup.threads)
    try:
        process.ask(load_request(REFERENCE, setup))
        return tuple(process.ask(request)["logits"])
    finally:
        process.close()


def load_request(name: str, setup: Setup) -> dict[str, Any]:
    """What a worker is told first."""
    return {
        "engine": name,
        "model": str(setup.model if name in OURS else setup.plain),
        "threads": setup.threads,
        "max_tokens": setup.max_tokens,
        "cache": str(setup.cache),
    }


def _load(
    engine: Engine, setup: Setup, running: dict[str, _Running], refused: dict[str, str]
) -> None:
    process = Process(engine.home, setup.threads)
    try:
        running[engine.name] = _Running(process, process.ask(load_request(engine.name, setup)))
    except EngineError as error:
        refused[engine.name] = str(error)
    finally:
        if engine.name not in running:
            process.close()


def _score(
    name: str,
    request: Mapping[str, Any],
    running: dict[str, _Running],
    refused: dict[str, str],
) -> None:
    try:
        running[name].answers.append(running[name].process.ask(request))
    except EngineError as error:
        refused[name] = str(error)
        running.pop(name).process.close()


def _measured(name: str, engine: _Running) -> Measured:
    last, loaded = engine.answers[-1], engine.loaded
    return Measured(
        name=name,
        policy=loaded["policy"],
        versions=loaded["versions"],
        load_s=loaded["load_s"],
        resident_mb=last.get("resident_mb"),
        peak_mb=last.get("peak_mb"),
        ms=tuple(answer["ms"] for answer in engine.answers[1:]),
        logits=tuple(last["logits"]),
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of one engine. `ratio` is the median over the rounds of its time to ours.

    `correlation` and `largest_difference` compare its logits with our float32; None where there is
    nothing to tell. An engine that computes something else has no ratio, and a `remark` says so.
    """

    median_ms: float
    min_ms: float
    p95_ms: float | None
    texts_s: float
    ratio: float | None
    correlation: float | None
    largest_difference: float
    remark: str | None


def figures(one: Measured, ours: Measured, reference: Sequence[float]) -> Figures:
    """The figures of one engine beside ours."""
    middle = median(one.ms)
    ratios = [theirs / own for theirs, own in zip(one.ms, ours.ms, strict=True)]
    ranked = sorted(one.ms)
    enough = len(ranked) >= ROUNDS_FOR_P95
    correlation = _correlation(one.logits, reference)
    other = correlation is not None and correlation < SAME
    return Figures(
        median_ms=middle,
        min_ms=ranked[0],
        p95_ms=ranked[math.ceil(0.95 * len(ranked)) - 1] if enough else None,
        texts_s=1000 * len(one.logits) / middle,
        ratio=None if other else median(ratios),
        correlation=correlation,
        largest_difference=float(np.abs(np.subtract(one.logits, reference)).max()),
        remark=f"no ratio: correlation with float32 {correlation:.2f} < {SAME}" if other else None,
    )


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < 2 or min(np.ptp(a), np.ptp(b)) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
