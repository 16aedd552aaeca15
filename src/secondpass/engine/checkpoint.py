"""Whose weights does a folder hold? Those that were asked for, or an error that says what it is instead.

folder -> safetensors files, mapped -> tensors by canonical name, widened to float32 when asked for.
Safetensors only: pickled weights can run code when they are loaded.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from secondpass.engine.quantise import BLOCK, SCALE, dequantise_rows, expand_blocks
from secondpass.engine.spec import FAMILIES, ModelSpec, read_json
from secondpass.errors import ModelError

Weights = Mapping[str, NDArray[np.float32]]

INT8_FILE = "model.int8.safetensors"
PLAIN_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
# What only a late-join model has: its upper layers for one side alone, and what the sides meet with.
APART, JOIN = "apart.layer.", "join."
BITS = "#bf16"  # marks a tensor held as the bits of bfloat16, for which numpy has no type
# What `stored` gives: uint16 are the bits of bfloat16, uint8 two levels of 4 bits each.
STORED = ("float32", "float16", "int8", "uint16", "uint8")
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "|i1", "U8": "|u1"}


class StoredWeights(Weights):
    """A checkpoint's tensors, mapped from their files: as float32 by `[]`, as they are by `stored`.

    Nothing is kept of what `[]` widens: a backend that reads a tensor often keeps its own.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.generic]],
        family: str,
        files: Sequence[mmap.mmap] = (),
    ) -> None:
        self._tensors = tensors
        self._files = files
        self._names = {
            ours: name
            for name in tensors
            if (ours := canonical_name(name.removesuffix(BITS), family)) is not None
            and (tensors[name].dtype != np.uint8 or _in_blocks(name, tensors))
        }

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return _widen(self._names[name], self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the inherited one would widen the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        stored = self._names[name]
        shape = self._tensors[stored].shape
        two_a_byte = self._tensors[stored].dtype == np.uint8
        return (*shape[:-1], 2 * shape[-1]) if two_a_byte else shape

    def rows(self, name: str, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
        """Some rows of a matrix, float32[numbers, columns], without reading the others."""
        stored = self._names[name]
        scales = stored + SCALE
        part = {stored: self._tensors[stored][numbers]}
        if scales in self._tensors:
            part[scales] = self._tensors[scales][numbers]
        return _widen(stored, part)

    def stored(self) -> dict[str, NDArray[np.generic]]:
        """Every tensor as its file has it, bfloat16 as uint16; scales as `name.scale`."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for ours, name in self._names.items():
            values = self._tensors[name]
            plain = values.dtype.name in STORED and values.flags.aligned
            arrays[ours] = values if plain else self[ours]
            if plain and values.dtype == np.int8:
                arrays[ours + SCALE] = _widen(name + SCALE, self._tensors)
            elif values.dtype == np.uint8:
                arrays[ours + SCALE] = np.require(self._tensors[name + SCALE], np.float16, "A")
        return arrays

    def forget_pages(self) -> None:
        """Give back the memory of what was read; what is read again comes from the files again."""
        for file in self._files:
            if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                file.madvise(mmap.MADV_DONTNEED)


def load_weights(folder: Path, spec: ModelSpec) -> StoredWeights:
    """The weights, named without the family's prefix, the head as `dense` and `logit`.

    Raises ModelError for a missing or unreadable file, a bi-encoder, a head of several labels, and
    for tensors whose shapes contradict config.json.
    """
    weights = _map(folder, spec)
    _check_head(folder, spec, weights)
    _check_shapes(folder, spec, weights, {**encoder_shapes(spec), **head_shapes(spec)})
    return weights


def load_encoder_weights(folder: Path, spec: ModelSpec) -> StoredWeights:
    """The weights of a bi-encoder, which has no head; raises ModelError, for a cross-encoder too."""
    if spec.join_layer:
        raise ModelError(
            f"'{folder}' reads query and passage together from layer {spec.join_layer} on "
            "(join_layer in config.json); expected a bi-encoder; load a cross-encoder with CrossEncoder"
        )
    weights = _map(folder, spec)
    if "logit.weight" in weights:
        raise ModelError(
            f"'{folder}' has {FAMILIES[spec.family][2]}.weight, a head that classifies: its states "
            "are no vectors of texts; expected a bi-encoder; load a cross-encoder with CrossEncoder"
        )
    _check_shapes(folder, spec, weights, encoder_shapes(spec))
    return weights


def _map(folder: Path, spec: ModelSpec) -> StoredWeights:
    files = [_open(path) for path in weight_files(folder)]
    tensors = {name: tensor for file in files for name, tensor in _read(file)}
    return StoredWeights(tensors, spec.family, files)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: our int8 one first, then a whole one, then shards."""
    for name in (INT8_FILE, PLAIN_FILE):
        if (folder / name).is_file():
            return [folder / name]
    if (folder / SHARD_INDEX).is_file():
        shards = sorted(set(read_json(folder / SHARD_INDEX).get("weight_map", {}).values()))
        if missing := [name for name in shards if not (folder / name).is_file()]:
            raise ModelError(f"'{folder}' lacks {', '.join(missing)}; download it again")
        return [folder / name for name in shards]
    raise no_weights(f"'{folder}'", [path.name for path in folder.iterdir()])


def no_weights(where: str, files: Iterable[str]) -> ModelError:
    """The error for a checkpoint without safetensors, told by the names of the files it has."""
    pickled = sorted(name for name in files if name.endswith((".bin", ".pt", ".ckpt")))
    if pickled:
        return ModelError(
            f"{where} has its weights only as {pickled[0]}; pickled weights can run code and are "
            "never loaded; expected model.safetensors: ask for a revision that has it, or convert "
            "it with save_pretrained(..., safe_serialization=True) of transformers"
        )
    return ModelError(f"{where} has no {PLAIN_FILE}; expected the weights as safetensors")


def canonical_name(name: str, family: str) -> str | None:
    """The name under which the backends know a tensor; None for one that no backend needs."""
    if name.endswith(SCALE):
        return None
    prefix, dense, logit = FAMILIES[family]
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
    for head, ours in ((dense, "dense"), (logit, "logit")):
        if name in (f"{head}.weight", f"{head}.bias"):
            return ours + name.removeprefix(head)
    body = name.removeprefix(prefix)
    return body if body.startswith(("embeddings.", "encoder.layer.", APART, JOIN)) else None


def _open(path: Path) -> mmap.mmap:
    """The whole file, mapped, once its header, its offsets and its size are checked."""
    try:
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"'{path}' is no readable safetensors file: {error}") from error


def _read(file: mmap.mmap) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Every tensor of a file as it is stored; bfloat16 as its bits in uint16."""
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    data = np.frombuffer(file, dtype=np.uint8, offset=start)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in DTYPES:
            continue  # index buffers such as position_ids, which are no weights
        first, end = entry["data_offsets"]
        values = data[first:end].view(np.dtype(DTYPES[entry["dtype"]])).reshape(entry["shape"])
        yield (f"{name}{BITS}" if entry["dtype"] == "BF16" else name), values


def _widen(name: str, stored: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    values = stored[name]
    if name.endswith(BITS):
        return (values.astype(np.uint32) << 16).view(np.float32)
    if values.dtype == np.int8:
        return dequantise_rows(values.astype(np.int8, copy=False), _widen(name + SCALE, stored))
    if values.dtype == np.uint8:
        return expand_blocks(values.astype(np.uint8, copy=False), _halves(name + SCALE, stored))
    return np.ascontiguousarray(values, dtype=np.float32)


def _in_blocks(name: str, stored: Mapping[str, NDArray[np.generic]]) -> bool:
    """Whether bytes are our blocks of 4 bits: those of another packing, or masks, are no weights."""
    levels, scales = stored[name], stored.get(name + SCALE)
    if scales is None or levels.ndim != 2:
        return False
    rows, halves = levels.shape
    return 2 * halves % BLOCK == 0 and scales.shape == (rows, 2 * halves // BLOCK)


def _halves(name: str, stored: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float16]:
    return stored[name].astype(np.float16, copy=False)


def _check_head(folder: Path, spec: ModelSpec, weights: StoredWeights) -> None:
    _, dense, logit = FAMILIES[spec.family]
    missing = [
        old for old, ours in ((dense, "dense"), (logit, "logit")) if f"{ours}.weight" not in weights
    ]
    if missing:
        what = (
            "it is a bi-encoder (modules.json names its pooling), which BiEncoder loads"
            if (folder / "modules.json").is_file()
            else "it is an encoder without a ranking head"
        )
        raise ModelError(
            f"'{folder}' has no {missing[0]}.weight: {what}; scores would come from random weights; "
            "expected a cross-encoder (a sequence classification checkpoint with one label)"
        )
    labels = weights.shape("logit.weight")[0]
    if labels != 1:
        raise ModelError(
            f"'{folder}' classifies into {labels} labels ({logit}.weight has {labels} rows); "
            "expected one label, the relevance of the text; choose a checkpoint trained for ranking"
        )


def _check_shapes(
    folder: Path, spec: ModelSpec, weights: StoredWeights, expected: Mapping[str, tuple[int, ...]]
) -> None:
    types = weights.get("embeddings.token_type_embeddings.weight")
    if types is None and spec.join_layer:
        raise ModelError(
            f"'{folder}' lacks the tensor embeddings.token_type_embeddings.weight; the download is "
            "not whole: repeat it"
        )
    # The types of a late-join model mark sides, and every token is given the first row.
    used = 1 if spec.join_layer else spec.token_types
    if types is not None and (types.shape[0] < used or types.shape[1] != spec.hidden):
        raise ModelError(
            f"'{folder}' has token_type_embeddings of shape {types.shape}, but its config.json asks "
            f"for {(used, spec.hidden)}; the files do not belong together"
        )
    if not spec.join_layer and (
        late := [name for name in weights if name.startswith((APART, JOIN))]
    ):
        raise ModelError(
            f"'{folder}' has {late[0]}, a tensor of a late-join model, but its config.json no "
            "join_layer; the files do not belong together"
        )
    for name, shape in expected.items():
        if name not in weights:
            raise ModelError(
                f"'{folder}' lacks the tensor {name}; the download is not whole: repeat it"
            )
        if weights.shape(name) != shape:
            raise ModelError(
                f"'{folder}' has {name} of shape {weights.shape(name)}, but its config.json asks for "
                f"{shape}; the files do not belong together"
            )


def head_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every tensor of a cross-encoder's head, with its shape."""
    return {
        "dense.weight": (spec.hidden, spec.hidden),
        "dense.bias": (spec.hidden,),
        "logit.weight": (1, spec.hidden),
        "logit.bias": (1,),
    }


def encoder_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every tensor that a forward pass reads below its head, with its shape."""
    wide = spec.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (spec.vocabulary, wide),
        "embeddings.position_embeddings.weight": (spec.positions, wide),
        "embeddings.LayerNorm.weight": (wide,),
        "embeddings.LayerNorm.bias": (wide,),
    }
    for layer in range(spec.layers):
        shapes |= _layer_shapes(f"encoder.layer.{layer}.", spec)
    if spec.join_layer:
        for layer in range(spec.join_layer, spec.layers):
            shapes |= _layer_shapes(f"{APART}{layer}.", spec)
        shapes |= {f"{JOIN}sides.weight": (4, wide), f"{JOIN}cosine": (1,)}
    return shapes


def _layer_shapes(at: str, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    wide, inner = spec.hidden, spec.intermediate
    linear = {
        "attention.self.query": (wide, wide),
        "attention.self.key": (wide, wide),
        "attention.self.value": (wide, wide),
        "attention.output.dense": (wide, wide),
        "intermediate.dense": (inner, wide),
        "output.dense": (wide, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in linear.items():
        shapes[f"{at}{name}.weight"] = shape
        shapes[f"{at}{name}.bias"] = shape[:1]
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"{at}{name}.weight"] = shapes[f"{at}{name}.bias"] = (wide,)
    return shapes
