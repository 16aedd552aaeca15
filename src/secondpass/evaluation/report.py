"""A measurement as a JSON object: figures, machine, versions, seed, and how near the bound we are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput
from secondpass.evaluation.machine import machine, versions
from secondpass.evaluation.operations import count_operations
from secondpass.evaluation.peers.table import OURS
from secondpass.evaluation.speed import Measured, Result, Setup, figures
from secondpass.evaluation.workload import Workload


def report(result: Result, setup: Setup, workload: Workload) -> dict[str, Any]:
    """All that was measured. Ratios are to the first of our engines that was.

    Raises InvalidInput where none of ours could be measured, with its reason.
    """
    ours = next((one for one in result.measured if one.name in OURS), None)
    if ours is None:
        raise InvalidInput(f"secondpass itself could not be measured: {result.refused}")
    spec = ModelSpec.read(setup.model)
    lengths = [min(tokens, setup.max_tokens) for tokens in workload.tokens]
    peaks = _peaks(setup.threads)
    operations = count_operations(spec, lengths, min(workload.query_tokens, *lengths))
    bounds = {
        precision: operations.bound_ms(
            int8_gops=peaks["int8_gops"], fp32_gflops=peaks["fp32_gflops"], precision=precision
        )
        for precision in ("int8", "fp32")
        if peaks
    }
    return {
        "what": "reranking, engines in turn, each in a process of its own",
        "model": _model(setup, spec),
        "workload": {
            "length": workload.name,
            "texts": len(workload.texts),
            "tokens": sum(lengths),
            "mean_tokens": round(sum(lengths) / len(lengths), 1),
            "longest": max(lengths),
            "seed": workload.seed,
        },
        "threads": setup.threads,
        "rounds": len(ours.ms),
        "ratios_to": ours.name,
        "engines": [_engine(one, ours, result, bounds) for one in result.measured],
        "refused": dict(result.refused),
        "operations": asdict(operations),
        "peaks": peaks,
        "bound_ms": _rounded(bounds),
        **machine(),
        "versions": versions("secondpass", "numpy", "tokenizers"),
    }


def _model(setup: Setup, spec: ModelSpec) -> dict[str, Any]:
    facts = ("family", "layers", "hidden", "heads", "intermediate", "vocabulary")
    return {"name": setup.model.name, **{fact: getattr(spec, fact) for fact in facts}}


def _engine(
    one: Measured, ours: Measured, result: Result, bounds: Mapping[str, float]
) -> dict[str, Any]:
    found = figures(one, ours, result.reference)
    bound = bounds.get(one.name.removeprefix("secondpass-")) if one.name in OURS else None
    return {
        "engine": one.name,
        "policy": one.policy,
        "versions": dict(one.versions),
        **_rounded(asdict(found)),
        "share_of_bound": None if bound is None else round(bound / found.min_ms, 3),
        "load_s": round(one.load_s, 2),
        "resident_mb": one.resident_mb,
        "peak_mb": one.peak_mb,
        "ms": [round(ms, 2) for ms in one.ms],
    }


def _peaks(threads: int) -> dict[str, float]:
    """What the processor's multipliers can do; empty without the native extension."""
    try:
        from secondpass._native import peaks
    except ImportError:
        return {}
    return {name: round(rate, 1) for name, rate in peaks(threads).items()}


def _rounded(values: Mapping[str, float | str | None]) -> dict[str, float | str | None]:
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in values.items()
    }
