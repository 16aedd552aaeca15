"""Where does training begin? Any model that the engine reads, as a folder that transformers loads.

bundled name, folder or hub name -> float32 weights under the names of its family -> OUT/start

So int8 weights are widened, shards joined, a smaller student gets some of the layers, and an encoder
that ranks nothing yet gets a head. What was done is in `Start`, to be said.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from secondpass.engine.checkpoint import (
    PLAIN_FILE,
    StoredWeights,
    canonical_name,
    head_shapes,
    load_encoder_weights,
    load_weights,
    weight_files,
)
from secondpass.engine.export import FACTS, original_name
from secondpass.engine.locate import HUB_NAME, bundled_models, locate
from secondpass.engine.spec import ModelSpec, read_json
from secondpass.errors import InvalidInput, ModelError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
HEAD_SPREAD = 0.02  # standard deviation of a fresh head's weights, as BERT's own
LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
SIGMOID = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}

LATE_JOIN = "late-join-bert"
Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Start:
    """A model ready to be trained, and what its files say of where it comes from.

    `layers` are those of the original that it has, counted from 0. `fresh_head` is True where the
    original does not rank: scores mean nothing before training. `hub_name` and `licence` are None
    where there is none to be known.
    """

    folder: Path
    name: str
    spec: ModelSpec
    layers: tuple[int, ...]
    of_layers: int
    fresh_head: bool
    hub_name: str | None = None
    licence: str | None = None

    @property
    def said(self) -> list[str]:
        """What a person should know before training begins, a line each."""
        lines = []
        if self.spec.join_layer:
            lines.append(
                f"'{self.name}' reads query and text apart up to layer {self.spec.join_layer}: what "
                "lies below stays as it is, and the layers above learn"
            )
        if self.fresh_head:
            lines.append(
                f"'{self.name}' has no ranking head: it gets a new one, whose first scores are noise"
            )
        if len(self.layers) < self.of_layers:
            kept = ", ".join(str(layer + 1) for layer in self.layers)
            lines.append(f"the model starts from layers {kept} of {self.of_layers}")
        return lines


def prepare_start(
    name: str, out: Path, *, layers: int | None = None, seed: int = 0, offline: bool = False
) -> Start:
    """Write the model `name` to the new folder `out`, in float32 and with a head.

    `layers` keeps so many, evenly spread from the first to the last. A fresh head is drawn with
    `seed`. Raises ModelError for what the engine does not read, and InvalidInput for more layers
    than there are.
    """
    source = locate(name, offline=offline)
    spec = ModelSpec.read(source)
    if spec.join_layer and layers is not None:
        raise InvalidInput(
            f"layers={layers} would take layers from '{name}', which joins query and text at layer "
            f"{spec.join_layer}: all of its layers are needed; leave --layers out"
        )
    weights, fresh = _weights(source, spec)
    kept = spread_layers(spec.layers, layers)
    tensors = _chosen(weights, kept)
    if fresh:
        tensors |= _fresh_head(spec, tensors, seed)
    smaller = replace(spec, layers=len(kept))
    half_done = out.with_name(f".{out.name}.part")
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    named = {original_name(ours, spec.family): value for ours, value in tensors.items()}
    save_file(named, half_done / PLAIN_FILE, metadata={"format": "pt"})
    _write_config(source, half_done, smaller)
    for file in TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, half_done / file)
    shutil.rmtree(out, ignore_errors=True)
    half_done.rename(out)
    return Start(
        folder=out,
        name=name,
        spec=smaller,
        layers=kept,
        of_layers=spec.layers,
        fresh_head=fresh,
        hub_name=_hub_name(name),
        licence=stated_licence(source / "README.md"),
    )


def spread_layers(there: int, wanted: int | None) -> tuple[int, ...]:
    """`wanted` of `there` layers, counted from 0, evenly spread with both ends; all for None."""
    if wanted is None:
        return tuple(range(there))
    if wanted > there:
        raise InvalidInput(
            f"layers={wanted} are more than the {there} of the start model; expected at most "
            f"{there}; leave it out to keep all"
        )
    return tuple(int(at) for at in np.rint(np.linspace(0, there - 1, wanted)))


def stated_licence(card: Path) -> str | None:
    """The licence in the front matter of a model's card; None where it names none."""
    if not card.is_file():
        return None
    head, _, rest = card.read_text(encoding="utf-8", errors="replace").partition("\n")
    if head.strip() != "---":
        return None
    matter = re.split(r"^---\s*$", rest, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.search(r"^license:\s*['\"]?([\w.+-]+)", matter, re.MULTILINE)
    return found[1] if found else None


def _hub_name(name: str) -> str | None:
    elsewhere = name in bundled_models() or Path(name).expanduser().is_dir()
    return name if HUB_NAME.fullmatch(name) and not elsewhere else None


def _weights(source: Path, spec: ModelSpec) -> tuple[StoredWeights, bool]:
    """The weights, checked, and whether a head is missing."""
    if "logit.weight" in _names(source, spec):
        return load_weights(source, spec), False
    return load_encoder_weights(source, spec), True


def _names(source: Path, spec: ModelSpec) -> set[str | None]:
    names: set[str | None] = set()
    for path in weight_files(source):
        try:
            with safe_open(path, framework="np") as file:
                names |= {canonical_name(name, spec.family) for name in file.keys()}  # noqa: SIM118 no dict
        except (SafetensorError, OSError) as error:
            raise ModelError(f"'{path}' is no readable safetensors file: {error}") from error
    return names


def _chosen(weights: StoredWeights, kept: tuple[int, ...]) -> Tensors:
    """The weights in float32, those of the kept layers under their new numbers."""
    number = {old: new for new, old in enumerate(kept)}
    tensors: Tensors = {}
    for name in weights:
        found = LAYER.match(name)
        if found is None:
            tensors[name] = weights[name]
        elif int(found[1]) in number:
            new = f"encoder.layer.{number[int(found[1])]}."
            tensors[new + name.removeprefix(found[0])] = weights[name]
    return tensors


def _fresh_head(spec: ModelSpec, tensors: Tensors, seed: int) -> Tensors:
    """What the head lacks: a dense layer that is there under the family's own name stays."""
    draw = np.random.default_rng(seed)
    head: Tensors = {}
    for name, shape in head_shapes(spec).items():
        if name in tensors:
            continue
        weight = name.endswith(".weight")
        values = draw.normal(0, HEAD_SPREAD, shape) if weight else np.zeros(shape)
        head[name] = values.astype(np.float32)
    return head


def _write_config(source: Path, out: Path, spec: ModelSpec) -> None:
    """The model's config.json, for one label in float32, and what it states in secondpass.json."""
    config = read_json(source / "config.json")
    for stale in ("torch_dtype", "sbert_ce_default_activation_function", "num_labels"):
        config.pop(stale, None)
    family = LATE_JOIN if spec.join_layer else spec.family
    config |= {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "dtype": "float32",
        "num_hidden_layers": spec.layers,
        "id2label": {"0": "relevance"},
        "label2id": {"relevance": 0},
        "sentence_transformers": SIGMOID,
    }
    write_json(out / "config.json", config)
    facts = read_json(source / FACTS, optional=True)
    kept: dict[str, object] = {}
    for key in ("window_tokens", "first_stage_weight"):
        if key in facts:
            kept[key] = facts[key]
    write_json(out / FACTS, kept)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file that a person can read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


ARCHITECTURES = {
    "late-join-bert": "LateJoinBertForSequenceClassification",  # ours, in late_join.py
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
}
