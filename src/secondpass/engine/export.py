"""How does a checkpoint become a smaller one? `export` writes it anew in another precision.

What an int8 engine would look for at each load, the outlier channels, is written into secondpass.json.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from secondpass.engine.checkpoint import INT8_FILE, JOIN, load_weights
from secondpass.engine.encode import calibration_rows
from secondpass.engine.outliers import calibrate
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.quantise import SCALE, exact_blocks, quantise_rows
from secondpass.engine.spec import FAMILIES, ModelSpec, read_json
from secondpass.errors import InvalidInput, UnknownName

PRECISIONS = ("int8",)
KEPT = ("config.json", "tokenizer.json", "tokenizer_config.json", "README.md")
FACTS = "secondpass.json"


def export(folder: Path, out: Path, *, precision: str = "int8") -> Path:
    """Write the checkpoint in `folder` to the new folder `out`, its matrices in `precision`.

    A matrix whose weights came in blocks of 4 bits stays in them: smaller than int8, and exact.
    The result loads like any other folder. `out` appears whole or not at all; raises InvalidInput
    where it exists.
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    if out.exists():
        raise InvalidInput(f"'{out}' exists; expected the name of a new folder; choose another")
    spec = ModelSpec.read(folder)
    weights = load_weights(folder, spec)
    tokenizer = PairTokenizer.load(
        folder, vocabulary=spec.vocabulary, two_sided=spec.join_layer > 0
    )
    if spec.outliers is None:
        spec = calibrate(spec, weights, calibration_rows(tokenizer, spec)).spec
    half_done = out.with_name(f".{out.name}.part")
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    tensors = dict(item for name, value in weights.items() for item in _stored(name, value, spec))
    save_file(
        tensors, half_done / INT8_FILE, metadata={"format": "secondpass-int8", "version": "2"}
    )
    (half_done / INT8_FILE).chmod(0o644)  # the safetensors library writes for the owner alone
    for name in KEPT:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, half_done / name)
    facts = read_json(folder / FACTS, optional=True) | {"outliers": dict(spec.outliers or {})}
    (half_done / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    half_done.rename(out)
    return out


def _stored(
    name: str, value: NDArray[np.float32], spec: ModelSpec
) -> list[tuple[str, NDArray[np.generic]]]:
    """The tensors that hold one weight, under the names that the family's checkpoints use."""
    original = original_name(name, spec.family)
    if value.ndim != 2 or name.startswith(("logit.", JOIN)):
        return [(original, value)]
    levels, scales = exact_blocks(value) or quantise_rows(value)
    return [(original, levels), (original + SCALE, scales)]


def original_name(name: str, family: str) -> str:
    """The inverse of `canonical_name`."""
    prefix, dense, logit = FAMILIES[family]
    for ours, head in (("dense.", dense), ("logit.", logit)):
        if name.startswith(ours):
            return f"{head}.{name.removeprefix(ours)}"
    return prefix + name
