"""BiEncoder: an embedding model, from its files to vectors of queries and passages.

texts -> prompt + text -> rows -> plan_batches -> backend.encode -> normalise
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.backends.table import build_vector_backend, choose_backend
from secondpass.engine.batching import pack, plan_batches
from secondpass.engine.checkpoint import StoredWeights, load_encoder_weights
from secondpass.engine.compute import Compute
from secondpass.engine.encoder_spec import EncoderSpec, Encoding
from secondpass.engine.fingerprint import fingerprint
from secondpass.engine.locate import lasting_name, locate
from secondpass.engine.outliers import CALIBRATION, calibrate
from secondpass.engine.pairs import check_texts, listed
from secondpass.engine.scoring import check_finite
from secondpass.engine.spec import ModelSpec
from secondpass.engine.texts import TextTokenizer
from secondpass.errors import EngineError
from secondpass.protocols import VectorBackend

LEAST_LENGTH = 1e-12  # a vector that is shorter is left so, as torch does

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """A vector a text, float32[texts, dimension], and the numbers of the texts that were cut."""

    vectors: NDArray[np.float32]
    truncated: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EncoderFiles:
    """What is read of a bi-encoder's folder: its facts, its tokenizer and its weights, mapped."""

    model: ModelSpec
    spec: EncoderSpec
    tokenizer: TextTokenizer
    weights: StoredWeights

    @classmethod
    def read(cls, folder: Path, encoding: Encoding) -> EncoderFiles:
        """Raises ModelError for files that are missing, broken or no bi-encoder's."""
        model = ModelSpec.read(folder)
        # Before the spec: a cross-encoder should hear of that, and not of its missing pooling.
        weights = load_encoder_weights(folder, model)
        spec = EncoderSpec.read(folder, model, encoding)
        tokenizer = TextTokenizer.load(
            folder, vocabulary=model.vocabulary, lower_case=spec.lower_case
        )
        return cls(model, spec, tokenizer, weights)


class BiEncoder:
    """An embedding model. Many threads may use one at the same time.

    `spec` says how texts become vectors, `backend_name` what computes, `precision` in which
    numbers, and `name` what finds the model again: its folder or its name on the hub. Use `load`; the constructor takes finished parts.
    """

    def __init__(
        self,
        files: EncoderFiles,
        backend: VectorBackend,
        backend_name: str,
        precision: str = "fp32",
        batch_tokens: int = 8192,
        *,
        name: str = "",
    ) -> None:
        self.spec = files.spec
        self.name = name
        self.backend_name = backend_name
        self.precision = precision
        self._files: EncoderFiles | None = files
        self._backend = backend
        self._dimension = files.model.hidden
        self._batch_tokens = batch_tokens
        self._fingerprint: str | None = None

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        backend: str = "auto",
        revision: str | None = None,
        offline: bool = False,
        encoding: Encoding | None = None,
        compute: Compute | None = None,
    ) -> BiEncoder:
        """The bi-encoder in a folder, or of the hub by its name.

        Raises ModelError where the files are missing, broken or no bi-encoder's, and InvalidInput
        for an `encoding` that the model cannot do, or that must say what its files do not. Only a
        hub name that is not cached touches the network.
        """
        encoding = encoding or Encoding()
        folder = locate(model, revision=revision, offline=offline)
        files = EncoderFiles.read(folder, encoding)
        name, settled = choose_backend(backend, files.model, compute or Compute())
        model_spec = files.model
        if settled.precision == "int8" and model_spec.outliers is None:
            rows, _ = files.tokenizer.rows(CALIBRATION, max_tokens=files.spec.max_tokens)
            model_spec = calibrate(model_spec, files.weights, rows).spec
        built = build_vector_backend(name, model_spec, files.weights, files.spec.pooling, settled)
        precision, batch_tokens = settled.precision, encoding.batch_tokens
        return cls(files, built, name, precision, batch_tokens, name=lasting_name(model))

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """A name of all that vectors depend on but precision; reads every weight on first use.

        Raises EngineError where the model was closed before it was asked for.
        """
        if self._fingerprint is None:
            files = self._open_files()
            self._fingerprint = fingerprint(
                files.model, files.spec, files.weights, files.tokenizer.digest
            )
        return self._fingerprint

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension], each behind the model's prompt for queries.

        A vector does not depend on the other texts. Texts that were cut are logged with their
        number; `encode` tells which. Raises InvalidInput for what is no text and EngineError for a
        vector that is not finite.
        """
        return self._encode_and_tell(texts, self.spec.query_prompt)

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages, behind the model's prompt for them."""
        return self._encode_and_tell(texts, self.spec.passage_prompt)

    def encode(self, texts: Iterable[str], *, prompt: str = "") -> EncodedTexts:
        """The vectors of the texts, each behind `prompt`, and which of them were cut; no log."""
        check_texts([prompt], "prompt")
        given = [prompt + text for text in listed(texts)]
        files = self._open_files()
        unique = list(dict.fromkeys(given))
        rows, cut = files.tokenizer.rows(unique, max_tokens=self.spec.max_tokens)
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        lengths = [len(row.ids) for row in rows]
        for batch in plan_batches(lengths, max_tokens=self._batch_tokens):
            vectors[batch] = self._backend.encode(pack([rows[row] for row in batch]))
        check_finite(vectors)
        if self.spec.normalised:
            vectors = normalise(vectors)
        where = {text: at for at, text in enumerate(unique)}
        order = [where[text] for text in given]
        shortened = set(cut)
        return EncodedTexts(
            vectors=vectors[np.asarray(order, dtype=np.intp)],
            truncated=tuple(to for to, at in enumerate(order) if at in shortened),
        )

    def close(self) -> None:
        """Release the weights; a later call to encode raises EngineError."""
        self._backend.close()
        self._files = None

    def __enter__(self) -> BiEncoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _encode_and_tell(self, texts: Iterable[str], prompt: str) -> NDArray[np.float32]:
        encoded = self.encode(texts, prompt=prompt)
        if encoded.truncated:
            logger.warning(
                "%d of %d texts are longer than the %d tokens that the encoder reads and were cut, "
                "text %d first; split them smaller",
                len(encoded.truncated),
                len(encoded.vectors),
                self.spec.max_tokens,
                encoded.truncated[0],
            )
        return encoded.vectors

    def _open_files(self) -> EncoderFiles:
        files = self._files
        if files is None:
            raise EngineError("the model is closed; load it again to encode with it")
        return files


def normalise(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at length 1, each by itself."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=1, keepdims=True))
    normalised: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(LEAST_LENGTH))
    return normalised
