"""What a run leaves behind: checkpoints to go on from, and folders that the engine loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from recipes.bert import Ranker, Shape
from recipes.start import Tensors

BUNDLED = Path(__file__).resolve().parents[1] / "src/secondpass/models/mini"
PAIR = ("<s>", "A", "</s>", "</s>", "B", "</s>")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a kill leaves the old one or the new one, never half of one."""
    part = path.with_name(f".{path.name}.part")
    torch.save(state, part)
    part.replace(path)


def load_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    """What `save_state` wrote, or None where there is none."""
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def write_folder(model: Ranker, folder: Path, *, tokenizer: Path = BUNDLED) -> Path:
    """The model as a folder that transformers and our engine read, weights in half precision.

    A model that joins late says so in secondpass.json, and an engine that does not know it refuses
    the folder.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    names = {"dense": "bert.pooler.dense", "logit": "classifier"}
    tensors = {}
    for name, value in model.tensors().items():
        head, _, kind = name.partition(".")
        key = f"{names[head]}.{kind}" if head in names else f"bert.{name}"
        tensors[key] = np.ascontiguousarray(value.astype(np.float16))
    facts: dict[str, float] = {"first_stage_weight": 0.0}
    if model.shape.join:
        facts["join_layer"] = model.shape.join
        facts["cosine_weight"] = float(model.cosine.detach())
    save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
    (part / "model.safetensors").chmod(0o644)
    (part / "config.json").write_text(json.dumps(model.shape.config(), indent=2) + "\n")
    (part / "secondpass.json").write_text(json.dumps(facts, indent=2) + "\n")
    write_plain_tokenizer(tokenizer, part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def write_plain_tokenizer(source: Path, folder: Path) -> None:
    """The tokenizer in `source` with XLM-R's specials around a pair: the bundled one marks sides."""
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["post_processor"]["pair"] = [
        {"Sequence" if part in "AB" else "SpecialToken": {"id": part, "type_id": 0}}
        for part in PAIR
    ]
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_bi_encoder(start: Tensors, shape: Shape, folder: Path) -> Path:
    """The start itself as a folder that `BiEncoder` reads, with its prompts and its mean of states."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "1_Pooling").mkdir(parents=True)
    save_file(
        {name: np.ascontiguousarray(v, np.float16) for name, v in start.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    parts = {
        "config.json": shape.config() | {"architectures": ["BertModel"]},
        "modules.json": [
            {
                "idx": at,
                "name": str(at),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
            for at, (path, kind) in enumerate(
                (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
            )
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_mean_tokens": True,
        },
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "}
        },
    }
    for name, content in parts.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_plain_tokenizer(BUNDLED, folder)
    return folder


def write_int8(folder: Path, out: Path) -> Path:
    """The folder anew with int8 weights, as the package ships them."""
    from secondpass.engine.export import export

    shutil.rmtree(out, ignore_errors=True)
    return export(folder, out)
