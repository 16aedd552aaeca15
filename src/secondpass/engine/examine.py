"""Can this checkpoint be used? Each of its parts is looked at before anything is scored with it.

folder -> files -> config -> head -> tokenizer -> activation -> limits -> a first score
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from secondpass.engine.backends.table import build_backend, choose_backend
from secondpass.engine.batching import pack
from secondpass.engine.checkpoint import StoredWeights, load_weights, weight_files
from secondpass.engine.compute import Compute
from secondpass.engine.encode import calibration_rows
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.scoring import check_finite
from secondpass.engine.spec import FAMILIES, ModelSpec, read_json
from secondpass.errors import SecondpassError
from secondpass.types import Finding

LFS_POINTER = b"version https://git-lfs"
MOST_DIFFERENCE = 1e-3  # of a logit in fp32, between the native and the numpy backend
SHORT = 128  # tokens: a model that reads less reads most passages in windows


def examine(folder: Path) -> list[Finding]:
    """What each part of a cross-encoder's folder is like; the rest is left out after what is amiss.

    Never raises for what a checkpoint may have wrong: that is a finding.
    """
    return list(_until_amiss(folder))


def _until_amiss(folder: Path) -> Iterator[Finding]:
    found = _step("files", lambda: _files(folder))
    yield found
    if found.amiss:
        return
    try:
        spec = ModelSpec.read(folder)
    except SecondpassError as error:
        yield _amiss("config", error)
        return
    shape = f"{spec.layers} layers of {spec.hidden}, {spec.vocabulary} words"
    if spec.join_layer:
        shape += f"; query and passage apart up to layer {spec.join_layer}"
    yield Finding("config", f"{spec.family}, {shape}")
    try:
        weights = load_weights(folder, spec)
    except SecondpassError as error:
        yield _amiss("head", error)
        return
    yield Finding("head", f"there, with one label ({FAMILIES[spec.family][2]})")
    found = _step("tokenizer", lambda: _tokenizer(folder, spec))
    yield found
    if found.amiss:
        return
    yield _activation(folder, spec)
    yield _limits(spec)
    yield _step("scores", lambda: _scores(folder, spec, weights))


def _step(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except SecondpassError as error:
        return _amiss(subject, error)


def _amiss(subject: str, error: SecondpassError) -> Finding:
    """An error as a finding: what follows its last semicolon is what to do."""
    found, _, advice = str(error).rpartition("; ")
    return Finding(subject, found or advice, advice if found else "choose another one", amiss=True)


def _files(folder: Path) -> Finding:
    parts = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in parts:
        with path.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                advice = "run `git lfs pull` in that folder, or download the model again"
                found = f"'{path}' is a pointer of Git LFS and not the file itself"
                return Finding("files", found, advice, amiss=True)
    weights = weight_files(folder)
    size = sum(path.stat().st_size for path in weights) / 1e6
    return Finding("files", f"{size:.1f} MB of weights in {', '.join(p.name for p in weights)}")


def _tokenizer(folder: Path, spec: ModelSpec) -> Finding:
    specials = _load_tokenizer(folder, spec).template.specials
    return Finding("tokenizer", f"fits the vocabulary; {specials} special tokens a pair")


def _load_tokenizer(folder: Path, spec: ModelSpec) -> PairTokenizer:
    return PairTokenizer.load(folder, vocabulary=spec.vocabulary, two_sided=spec.join_layer > 0)


def _activation(folder: Path, spec: ModelSpec) -> Finding:
    config = read_json(folder / "config.json")
    named = (config.get("sentence_transformers") or {}).get("activation_fn") or config.get(
        "sbert_ce_default_activation_function"
    )
    if named is not None:
        return Finding("activation", f"{spec.activation}, as config.json names it")
    return Finding(
        "activation",
        f"{spec.activation}, for config.json names none",
        "scores of other programs may be logits: compare them with `score`, not `probability`",
    )


def _limits(spec: ModelSpec) -> Finding:
    advice = ""
    if spec.max_tokens < SHORT:
        advice = "most passages will be read in windows, which takes longer: split them shorter"
    window = f", windows of {spec.window_tokens}" if spec.window_tokens < spec.max_tokens else ""
    return Finding("limits", f"{spec.max_tokens} tokens of query and text{window}", advice)


def _scores(folder: Path, spec: ModelSpec, weights: StoredWeights) -> Finding:
    """A few pairs scored by the backend that would serve, and by numpy where that is another."""
    rows = calibration_rows(_load_tokenizer(folder, spec), spec)
    batch = pack(rows)
    name, _ = choose_backend("auto", spec, Compute())
    logits = {}
    for each in dict.fromkeys((name, "numpy")):
        backend = build_backend(each, spec, weights, Compute("fp32"))
        logits[each] = backend.forward(batch)
        backend.close()
        check_finite(logits[each])
    if np.ptp(logits[name]) == 0:
        found = f"every pair gets the logit {logits[name][0]:.3g}"
        return Finding("scores", found, "the head has learned nothing: train it", amiss=True)
    apart = float(np.abs(logits[name] - logits["numpy"]).max())
    if apart > MOST_DIFFERENCE * max(1.0, float(np.abs(logits["numpy"]).max())):
        advice = "report it with the model's name, and use backend='numpy' until it is mended"
        found = f"the backends '{name}' and 'numpy' differ by {apart:.2g}"
        return Finding("scores", found, advice, amiss=True)
    low, high = float(logits[name].min()), float(logits[name].max())
    agree = f"; '{name}' and 'numpy' agree within {apart:.0e}" if name != "numpy" else ""
    return Finding("scores", f"{len(rows)} pairs from {low:.2f} to {high:.2f}{agree}")
