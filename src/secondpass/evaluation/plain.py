"""A checkpoint as every other engine reads it: one float32 model.safetensors with the usual names."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from safetensors.numpy import save_file

from secondpass.engine.checkpoint import PLAIN_FILE, load_weights, weight_files
from secondpass.engine.export import original_name
from secondpass.engine.spec import ModelSpec

KEPT = ("config.json", "tokenizer.json", "tokenizer_config.json")


def plain_checkpoint(folder: Path, cache: Path) -> Path:
    """`folder` itself where its weights are model.safetensors, else a float32 copy below `cache`.

    A copy that is there already is taken: it goes by the size and time of the weights it is from.
    """
    files = weight_files(folder)
    if [path.name for path in files] == [PLAIN_FILE]:
        return folder
    out = cache / f"{folder.name}-{fingerprint(folder)}"
    if out.is_dir():
        return out
    half_done = out.with_name(f".{out.name}.part")
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    spec = ModelSpec.read(folder)
    weights = load_weights(folder, spec)
    tensors = {original_name(name, spec.family): weights[name] for name in weights}
    save_file(tensors, half_done / PLAIN_FILE, metadata={"format": "pt"})
    for name in KEPT:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, half_done / name)
    half_done.rename(out)
    return out


def fingerprint(folder: Path) -> str:
    """A short name for the state of a checkpoint's files."""
    facts = [
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for path in weight_files(folder)
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
