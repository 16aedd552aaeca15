"""When is a model ready? Calibrated, exported to int8, measured by our engine, and refused if worse.

best weights -> line through the logits, folded into the head -> OUT.training/float32 -> int8 ->
nDCG@10 of both -> OUT, which appears whole

OUT itself holds float32 weights, which our engine, sentence-transformers and transformers read (of a
late join our engine alone);
OUT/int8 is the same model in a quarter of the space, for our engine alone. Side by side in one folder
our engine would read the int8 file even where float32 is asked for.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from secondpass.engine.checkpoint import PLAIN_FILE
from secondpass.engine.export import FACTS, export, original_name
from secondpass.engine.spec import ModelSpec, read_json
from secondpass.errors import ModelError
from secondpass.training.lists import TrainingList
from secondpass.training.measures import RIGHT, calibration_error, fit_line, qualities
from secondpass.training.scoring import Logits, folder_score, score_lists
from secondpass.training.start import TOKENIZER_FILES

SMALL = "int8"
SURE = 1.6449  # standard errors of a normal distribution: 95 % from one side
MODEL_FILES = ("config.json", PLAIN_FILE, FACTS, *TOKENIZER_FILES)
Each = NDArray[np.float64]
OnList = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the line a * logit + b does for sigmoid(logit): the error on lists it was not fitted on."""

    a: float
    b: float
    error_before: float
    error_after: float


@dataclass(frozen=True, slots=True)
class Quality:
    """nDCG@10 on the validation lists: of the trained model in both precisions.

    `doubt` is the standard error of the difference: how much of it may be due to these lists.
    """

    fp32: float
    int8: float
    calibrated: Calibrated
    doubt: float
    lists: int

    @classmethod
    def of(cls, fp32: Each, int8: Each, calibrated: Calibrated) -> Quality:
        """From the nDCG@10 of each list in both precisions."""
        doubt = float((fp32 - int8).std(ddof=1) / len(fp32) ** 0.5) if len(fp32) > 1 else math.inf
        return cls(float(fp32.mean()), float(int8.mean()), calibrated, doubt, len(fp32))

    @property
    def cost(self) -> float:
        """What int8 costs on these lists."""
        return self.fp32 - self.int8

    def surely_costs(self, most: float) -> bool:
        """Whether int8 costs more than `most`, and not only by the chance of which lists these are."""
        return self.cost - student(self.lists - 1) * self.doubt > most


def student(freedom: int) -> float:
    """The 95 % quantile of Student's t, by Abramowitz and Stegun 26.7.5; above it is chance no more."""
    z, n = SURE, max(1, freedom)
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


def deliver(
    start: Path,
    weights: Path,
    work: Path,
    lists: Sequence[TrainingList],
    *,
    most_cost: float,
    on_list: OnList | None = None,
) -> Quality:
    """Write work/float32 and work/int8, and measure both; `lists` are those held out.

    `start` has the config and the tokenizer, `weights` is a safetensors file of transformers' names.
    Raises ModelError where int8 surely costs more than `most_cost`; work/float32 stays for that case.
    """
    folder = work / "float32"
    _write_model(start, weights, folder)
    logits = score_lists(folder_score(folder, "fp32"), lists, on_list)
    calibrated = calibrate(logits, lists)
    fold_line(folder, calibrated.a, calibrated.b)
    small = work / SMALL
    shutil.rmtree(small, ignore_errors=True)
    export(folder, small)
    # so that the engine need not look for them at each load
    facts = read_json(folder / FACTS) | {"outliers": read_json(small / FACTS)["outliers"]}
    write_facts(folder, facts)
    small_logits = score_lists(folder_score(small), lists, on_list)
    quality = Quality.of(qualities(logits, lists), qualities(small_logits, lists), calibrated)
    if quality.surely_costs(most_cost):
        raise ModelError(
            f"int8 costs {quality.cost:.4f} of nDCG@10 ({quality.fp32:.4f} in float32, "
            f"{quality.int8:.4f} in int8, {len(lists)} lists), more than {most_cost:g}; the float32 "
            f"model is in '{folder}': load it with precision 'fp32'; or run this again with a larger "
            "--most-cost"
        )
    return quality


def calibrate(logits: Sequence[Logits], lists: Sequence[TrainingList]) -> Calibrated:
    """The line fitted on every second list, and the calibration error on the others."""
    right = [np.array(one.labels) >= RIGHT for one in lists]
    a, b = fit_line(np.concatenate(logits[0::2]), np.concatenate(right[0::2]))
    measured, truth = np.concatenate(logits[1::2]), np.concatenate(right[1::2])
    return Calibrated(
        a=a,
        b=b,
        error_before=calibration_error(measured, truth),
        error_after=calibration_error(a * measured.astype(np.float64) + b, truth),
    )


def fold_line(folder: Path, a: float, b: float) -> None:
    """Make a * logit + b the logit of the float32 model in `folder`."""
    family = ModelSpec.read(folder).family
    tensors = load_file(folder / PLAIN_FILE)
    weight, bias = (original_name(f"logit.{part}", family) for part in ("weight", "bias"))
    tensors[weight] = (tensors[weight] * np.float32(a)).astype(np.float32)
    tensors[bias] = (tensors[bias] * np.float32(a) + np.float32(b)).astype(np.float32)
    cosine = original_name("join.cosine", family)  # of a late join: the logit's other part
    if cosine in tensors:
        tensors[cosine] = (tensors[cosine] * np.float32(a)).astype(np.float32)
    save_file(tensors, folder / PLAIN_FILE, metadata={"format": "pt"})
    (folder / PLAIN_FILE).chmod(0o644)  # the safetensors library writes for the owner alone


def write_facts(folder: Path, facts: dict[str, object]) -> None:
    """Write secondpass.json, on one line, as `export` does."""
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")


def assemble(work: Path, out: Path, *, card: str, recipe: str) -> None:
    """Put the delivered folder together from work/float32 and work/int8; `out` appears whole."""
    half_done = out.with_name(f".{out.name}.part")
    shutil.rmtree(half_done, ignore_errors=True)
    (half_done / SMALL).mkdir(parents=True)
    for source, target in ((work / "float32", half_done), (work / SMALL, half_done / SMALL)):
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, target / path.name)
        (target / "README.md").write_text(card, encoding="utf-8")
        (target / "recipe.toml").write_text(recipe, encoding="utf-8")
    half_done.rename(out)


def _write_model(start: Path, weights: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in MODEL_FILES:
        if name != PLAIN_FILE and (start / name).is_file():
            shutil.copyfile(start / name, folder / name)
    shutil.copyfile(weights, folder / PLAIN_FILE)
