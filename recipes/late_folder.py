"""A late join as a folder that the engine loads; `join_layer` in config.json.

In float32: what came in 4 bits is still in 4 bits then, and `secondpass export` keeps it so.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from recipes.artefact import BUNDLED
from recipes.bert import layer_names
from recipes.start import Tensors
from recipes.upper import COSINE_CENTRE, COSINE_SCALE, Upper

ARCHITECTURE = {
    "architectures": ["LateJoinBertForSequenceClassification"],
    "model_type": "late-join-bert",  # no other library may take it for a BERT
}


def write_late(
    model: Upper,
    start: Tensors,
    line: tuple[float, float],
    *,
    prefixes: dict[str, list[int]],
    folder: Path,
    facts: dict[str, Any],
) -> Path:
    """Write the model to `folder`, with a * logit + b for its logit; `start` is the bi-encoder."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tensors = {
        name: np.ascontiguousarray(value, dtype=np.float32)
        for name, value in named_tensors(model, start, line).items()
    }
    save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
    (part / "model.safetensors").chmod(0o644)
    config = model.shape.config() | ARCHITECTURE | {"join_layer": model.join}
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (part / "secondpass.json").write_text(json.dumps(facts, indent=2) + "\n")
    write_tokenizer(prefixes, part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def named_tensors(model: Upper, start: Tensors, line: tuple[float, float]) -> Tensors:
    """Every weight by its name in the file."""
    a, b = line
    tensors: Tensors = {}
    for name, value in start.items():
        if name.startswith("encoder.layer."):
            apart = int(name.split(".")[2]) >= model.join
            tensors["bert." + (name.replace("encoder", "apart", 1) if apart else name)] = value
        elif name.startswith("embeddings."):
            tensors[f"bert.{name}"] = value
    for layer, number in zip(model.layers, range(model.join, model.shape.layers), strict=True):
        for name, parameter in layer_names(layer, number):
            tensors[f"bert.{name}"] = parameter.detach().numpy()
    cosine = COSINE_SCALE * float(model.cosine.detach())
    bias = model.logit.bias.detach().numpy() - cosine * COSINE_CENTRE
    return tensors | {
        "bert.join.sides.weight": model.sides.detach().numpy(),
        "bert.join.cosine": np.array([a * cosine], np.float32),
        "bert.pooler.dense.weight": model.dense.weight.detach().numpy(),
        "bert.pooler.dense.bias": model.dense.bias.detach().numpy(),
        "classifier.weight": a * model.logit.weight.detach().numpy(),
        "classifier.bias": a * bias + b,
    }


def write_tokenizer(prefixes: dict[str, list[int]], folder: Path) -> None:
    """The bundled tokenizer; its pairs carry the bi-encoder's prefixes and tell sides by type."""
    tokenizer = json.loads((BUNDLED / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = [piece for piece, _ in tokenizer["model"]["vocab"]]
    template = tokenizer["post_processor"]
    pair: list[dict[str, Any]] = []
    for side, (name, sequence) in enumerate((("query", "A"), ("passage", "B"))):
        ids = prefixes[name]
        mark = f"{name}:"
        template["special_tokens"][mark] = {
            "id": mark,
            "ids": ids,
            "tokens": [pieces[i] for i in ids],
        }
        pair += [
            {"SpecialToken": {"id": "<s>", "type_id": side}},
            {"SpecialToken": {"id": mark, "type_id": side}},
            {"Sequence": {"id": sequence, "type_id": side}},
            {"SpecialToken": {"id": "</s>", "type_id": side}},
        ]
    template["pair"] = pair
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = json.loads((BUNDLED / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
