"""Which encoder is meant by a name? Its prefix says it, or else the model's own files.

static -> the bundled one; openai:MODEL -> an OpenAI-compatible endpoint; onnx:FOLDER -> a folder or
hub name with model.onnx; sentence-transformers:NAME -> whatever that library loads; a folder or hub
name -> by its files: token vectors, a BERT-shaped bi-encoder, or any other by sentence-transformers
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secondpass.engine.bi_encoder import BiEncoder
from secondpass.engine.compute import Compute
from secondpass.engine.encoder_spec import Encoding
from secondpass.engine.encoders.endpoint import Endpoint, EndpointEncoder
from secondpass.engine.encoders.onnx import OnnxEncoder
from secondpass.engine.encoders.sentence_transformers import SentenceTransformersEncoder
from secondpass.engine.encoders.static import StaticEncoder
from secondpass.engine.encoders.static_files import static_modules
from secondpass.engine.locate import locate
from secondpass.engine.spec import FAMILIES, read_json
from secondpass.errors import InvalidInput, UnknownName
from secondpass.protocols import Encoder

NATIVE_MODULES: tuple[list[str], ...] = (
    [],
    ["Transformer", "Pooling"],
    ["Transformer", "Pooling", "Normalize"],
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name without its prefix, and all that a caller may say about what it loads."""

    name: str
    revision: str | None
    offline: bool
    encoding: Encoding
    compute: Compute
    endpoint: Endpoint | None


def load_encoder(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    encoding: Encoding | None = None,
    compute: Compute | None = None,
    endpoint: Endpoint | None = None,
) -> Encoder:
    """The encoder that this name means; this file's first lines list the forms of names.

    `encoding` says what a model's files may not (pooling, prompts), `compute` how the native engine
    computes, `endpoint` where an 'openai:' model is asked. Raises UnknownName for a prefix that is
    none, ModelError for files that cannot be used, MissingExtra for a library that is not installed
    and EngineError for an endpoint that does not answer.
    """
    prefix, colon, rest = name.partition(":")
    prefixed = bool(colon) and len(prefix) > 1 and not Path(name).exists()  # no drive, as in C:\\m
    wanted = Wanted(
        rest if prefixed else name,
        revision,
        offline,
        encoding or Encoding(),
        compute or Compute(),
        endpoint,
    )
    if not prefixed:
        return _by_files(wanted)
    if prefix not in BY_PREFIX:
        raise UnknownName("kind of encoder", prefix, BY_PREFIX)
    if not rest:
        raise InvalidInput(f"'{name}' names no model; expected '{prefix}:MODEL'")
    return BY_PREFIX[prefix](wanted)


def _by_files(wanted: Wanted) -> Encoder:
    """The encoder in a folder or of the hub: what it is, its own files say."""
    folder = locate(wanted.name, revision=wanted.revision, offline=wanted.offline)
    kind = read_json(folder / "config.json", optional=True).get("model_type")
    modules = static_modules(folder)
    if kind == "model2vec" or modules[:1] == ["StaticEmbedding"]:
        return StaticEncoder.load(folder)
    if kind in FAMILIES and modules in NATIVE_MODULES:
        return BiEncoder.load(folder, encoding=wanted.encoding, compute=wanted.compute)
    if modules:
        # By name, not by folder: of the hub it may need files that nobody else does.
        return _sentence_transformers(wanted)
    # What is left is no bi-encoder: its own error says what the folder holds instead.
    return BiEncoder.load(folder, encoding=wanted.encoding, compute=wanted.compute)


def _endpoint(wanted: Wanted) -> Encoder:
    if wanted.offline:
        raise InvalidInput(
            f"'openai:{wanted.name}' is asked over the network, but offline was asked for; leave "
            "one of them out"
        )
    return EndpointEncoder.open(
        wanted.name, wanted.endpoint or Endpoint(), encoding=wanted.encoding
    )


def _onnx(wanted: Wanted) -> Encoder:
    return OnnxEncoder.load(
        wanted.name,
        revision=wanted.revision,
        offline=wanted.offline,
        encoding=wanted.encoding,
        threads=wanted.compute.threads,
    )


def _sentence_transformers(wanted: Wanted) -> Encoder:
    return SentenceTransformersEncoder.load(
        wanted.name,
        revision=wanted.revision,
        offline=wanted.offline,
        encoding=wanted.encoding,
    )


BY_PREFIX: dict[str, Callable[[Wanted], Encoder]] = {
    "onnx": _onnx,
    "openai": _endpoint,
    "sentence-transformers": _sentence_transformers,
}
