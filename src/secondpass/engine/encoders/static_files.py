"""What is in a static encoder's folder? A vector a token, and the tokenizer that makes tokens.

Two forms are read: model2vec's (`embeddings`, perhaps with `weights` and `mapping`) and that of
sentence-transformers' StaticEmbedding (`embedding.weight`, also in a folder `0_StaticEmbedding`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from secondpass.engine.locate import BUNDLED, bundled_models
from secondpass.engine.pairs import read_tokenizer, tokenizer_digest
from secondpass.engine.spec import load_json, read_json
from secondpass.errors import ModelError

FORM = 1  # of what is hashed; a change of it is a change of every fingerprint
WEIGHTS_FILE = "model.safetensors"
NESTED = "0_StaticEmbedding"  # where sentence-transformers may put both files
VECTORS = ("embeddings", "embedding.weight")  # model2vec's name, sentence-transformers' name
VECTOR_TYPES = ("float32", "float16", "int8")


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """The vector of token t is `rows[mapping[t]] * weights[t]`.

    `rows` is float32, float16 or int8[rows, dimension], `weights` float32[tokens] and `mapping`
    int64[tokens]; where the last two are None, weights are 1 and token t has row t.
    """

    rows: NDArray[np.generic]
    weights: NDArray[np.float32] | None = None
    mapping: NDArray[np.int64] | None = None

    @property
    def tokens(self) -> int:
        """How many tokens have a vector."""
        return len(self.rows if self.mapping is None else self.mapping)

    def widened(self) -> NDArray[np.float32]:
        """The vectors themselves, float32[tokens, dimension]."""
        rows = self.rows if self.mapping is None else self.rows[self.mapping]
        vectors = np.ascontiguousarray(rows, dtype=np.float32)
        return vectors if self.weights is None else vectors * self.weights[:, None]

    def flattest_axis(self) -> int:
        """The number of the coordinate that is smallest over all rows, by the sum of squares."""
        rows = self.rows.astype(np.float32)
        return int((rows * rows).sum(axis=0, dtype=np.float64).argmin())


@dataclass(frozen=True, slots=True, eq=False)
class StaticFiles:
    """A static encoder as its folder states it.

    `unknown` is the token that stands for what the tokenizer does not know and that has no say in
    a vector; None where there is none, or where it has its say, as in sentence-transformers.
    `lowercase`, which secondpass.json says, is for tokenizers that keep capitals: texts are read in
    small letters.
    """

    vectors: TokenVectors
    tokenizer: Tokenizer
    unknown: int | None
    normalised: bool
    lowercase: bool
    fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> StaticFiles:
        """Raises ModelError for files that are missing, broken or do not belong together."""
        modules = static_modules(folder)
        inner = folder / NESTED if (folder / NESTED).is_dir() else folder
        tensors = _tensors(inner / WEIGHTS_FILE)
        vectors, ours = _vectors(tensors, inner / WEIGHTS_FILE)
        holder = _tokenizer_folder(folder, inner)
        tokenizer = read_tokenizer(holder, vocabulary=vectors.tokens)
        stated = read_json(folder / "config.json", optional=True).get("normalize")
        normalised = "Normalize" in modules or bool(stated)
        unknown = _unknown(tokenizer) if ours else None
        lowercase = bool(read_json(folder / "secondpass.json", optional=True).get("lowercase"))
        facts = {
            "form": FORM,
            "tokenizer": tokenizer_digest(holder),
            "unknown": unknown,
            "normalised": normalised,
            "lowercase": lowercase,
        }
        fingerprint = _fingerprint(facts, tensors)
        return cls(vectors, tokenizer, unknown, normalised, lowercase, fingerprint)


def static_modules(folder: Path) -> list[str]:
    """The kinds of the modules of a sentence-transformers folder; [] where it names none."""
    if not (folder / "modules.json").is_file():
        return []
    listed = load_json(folder / "modules.json")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ModelError(
            f"'{folder / 'modules.json'}' is no list of modules with type and path; download it again"
        )
    return [str(one.get("type", "")).rsplit(".", 1)[-1] for one in listed]


def _tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        tensors: dict[str, NDArray[np.generic]] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' is no readable safetensors file ({error}); expected the token vectors of a "
            "static encoder; download it again"
        ) from error
    return tensors


def _vectors(tensors: Mapping[str, NDArray[np.generic]], path: Path) -> tuple[TokenVectors, bool]:
    """The vectors, and whether they are in model2vec's form."""
    name = next((name for name in VECTORS if name in tensors), None)
    if name is None:
        raise ModelError(
            f"'{path}' has no tensor named {' or '.join(VECTORS)}, only {', '.join(tensors)}; "
            "expected a static encoder's token vectors"
        )
    rows = tensors[name]
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.name not in VECTOR_TYPES:
        raise ModelError(
            f"'{path}' has {name} as {rows.dtype}{list(rows.shape)}; expected "
            f"{', '.join(VECTOR_TYPES)}[tokens, dimension]"
        )
    weights, mapping = tensors.get("weights"), tensors.get("mapping")
    vectors = TokenVectors(
        rows,
        None if weights is None else weights.astype(np.float32),
        None if mapping is None else mapping.astype(np.int64),
    )
    shapes = [part.shape for part in (weights, mapping) if part is not None]
    if any(shape != (vectors.tokens,) for shape in shapes):
        raise ModelError(
            f"'{path}' has weights or mapping of the shape {shapes[0]} for {vectors.tokens} tokens; "
            "expected one number a token; the file is damaged"
        )
    numbers = vectors.mapping
    if numbers is not None and (numbers.min() < 0 or numbers.max() >= len(rows)):
        raise ModelError(
            f"'{path}' maps tokens to the rows {numbers.min()} to {numbers.max()} of {len(rows)}; "
            "expected numbers of rows; the file is damaged"
        )
    return vectors, name == VECTORS[0]


def _tokenizer_folder(folder: Path, inner: Path) -> Path:
    """The folder with tokenizer.json: another bundled model's where secondpass.json names one."""
    named = read_json(folder / "secondpass.json", optional=True).get("tokenizer_of")
    if named is None:
        return inner
    if named not in bundled_models():
        raise ModelError(
            f"'{folder / 'secondpass.json'}' takes the tokenizer of '{named}'; expected a bundled "
            f"model ({', '.join(bundled_models())})"
        )
    return BUNDLED / str(named)


def _unknown(tokenizer: Tokenizer) -> int | None:
    """The id that the tokenizer gives to what it does not know."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:  # Unigram states the number, all others the token
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _fingerprint(facts: Mapping[str, object], tensors: Mapping[str, NDArray[np.generic]]) -> str:
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted({*VECTORS, "weights", "mapping"} & set(tensors)):
        values = np.ascontiguousarray(tensors[name])
        total.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.data)
    return total.hexdigest()
