"""Which engines can be measured? One table: name -> where it is loaded, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, UnknownName


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine is to load: a plain checkpoint's folder, and the limits that all share.

    Rows are cut to `max_tokens`. `cache` is a folder for what the engine makes of the checkpoint.
    """

    model: Path
    threads: int
    max_tokens: int
    cache: Path


class Peer(Protocol):
    """A loaded engine."""

    @property
    def policy(self) -> str:
        """How it computes: numbers, batches, threads, in a few words."""

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logit of each text, in the order of texts."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a peer's `load(task)` is, and the packages that it needs (as they are imported)."""

    load: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]


_ORT = ("onnxruntime", "onnx")
PEERS = {
    "sentence-transformers": Entry(
        "sentence_transformers:load_torch",
        ("sentence_transformers",),
        ("sentence-transformers", "torch", "transformers"),
    ),
    "sentence-transformers-onnx": Entry(
        "sentence_transformers:load_onnx",
        ("sentence_transformers", "optimum.onnxruntime"),
        ("sentence-transformers", "optimum-onnx", "onnxruntime"),
    ),
    "sentence-transformers-openvino": Entry(
        "sentence_transformers:load_openvino",
        ("sentence_transformers", "optimum.intel", "nncf"),
        ("sentence-transformers", "optimum-intel", "openvino", "nncf"),
    ),
    "onnxruntime": Entry("onnxruntime:load", _ORT, ("onnxruntime", "onnx")),
    "openvino": Entry("openvino:load", ("openvino", "nncf", "onnx"), ("openvino", "nncf", "onnx")),
    "fastembed": Entry("fastembed:load", ("fastembed", *_ORT), ("fastembed", "onnxruntime")),
    "flashrank": Entry("flashrank:load", ("flashrank", *_ORT), ("flashrank", "onnxruntime")),
    "kjarni": Entry("kjarni:load", ("kjarni",), ("kjarni",)),
    "libembedding": Entry("libembedding:load", ("libembedding", *_ORT), ("libembedding-ng",)),
    "llama-cpp": Entry("llama_cpp:load", ("llama_cpp", "gguf"), ("llama-cpp-python", "gguf")),
}
OURS = {
    "secondpass-int8": Entry("ours:load_int8", (), ("secondpass",)),
    "secondpass-fp32": Entry("ours:load_fp32", (), ("secondpass",)),
}


def entry(name: str) -> Entry:
    """The table's entry; raises UnknownName."""
    known = {**OURS, **PEERS}
    if name not in known:
        raise UnknownName("engine", name, known)
    return known[name]


def load(name: str, task: Task) -> Peer:
    """The engine `name` with the model in it.

    Raises InvalidInput where a package is missing, and for a late-join model that is not for ours.
    """
    found = entry(name)
    if name not in OURS and ModelSpec.read(task.model).join_layer:
        raise InvalidInput(
            f"'{task.model.name}' reads query and passage apart in its lower layers, which the engine "
            f"'{name}' cannot; expected one of {', '.join(OURS)}; leave the engine out, or measure "
            "another model"
        )
    for needed in found.modules:
        module(needed)
    where, _, function = found.load.partition(":")
    loader: Callable[[Task], Peer] = getattr(
        import_module(f"secondpass.evaluation.peers.{where}"), function
    )
    return loader(task)


def module(name: str) -> ModuleType:
    """A package of a peer; InvalidInput where it is not installed here."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"the package '{name}' cannot be imported ({error}); expected it beside the engine; "
            "install it, or leave the engine out"
        ) from error
