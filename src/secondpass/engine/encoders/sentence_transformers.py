"""SentenceTransformersEncoder: every other encoder, by the library that knows it.

For what the native engine does not run: other architectures, poolings and modules, and GPUs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.bi_encoder import normalise
from secondpass.engine.encoder_spec import PASSAGE_NAMES, QUERY_NAMES, Encoding
from secondpass.engine.pairs import check_texts, listed
from secondpass.engine.scoring import check_finite
from secondpass.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EXTRA = "sentence-transformers"
FORM = 1  # of what is hashed; a change of it is a change of every fingerprint
AT_ONCE_ELSEWHERE = 32


class SentenceTransformersEncoder:
    """A model of sentence-transformers with its own prompts, on the device that it chooses.

    On a CPU one text is computed at a time: padding would cost more than a batch gains, and a
    vector would depend on its company in its last digits, as it does on a GPU. Vectors have length
    1 unless `Encoding(normalise=False)`. The library cuts long texts at the model's limit.
    """

    def __init__(self, model: SentenceTransformer, encoding: Encoding) -> None:
        self._model = model
        self._normalised = encoding.normalise is not False
        self._prompts = tuple(
            _prompt(model, names) if said is None else said
            for names, said in (
                (QUERY_NAMES, encoding.query_prompt),
                (PASSAGE_NAMES, encoding.passage_prompt),
            )
        )
        self._at_once = 1 if model.device.type == "cpu" else AT_ONCE_ELSEWHERE
        if encoding.max_tokens is not None:
            model.max_seq_length = encoding.max_tokens
        self._fingerprint: str | None = None

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        offline: bool = False,
        encoding: Encoding | None = None,
    ) -> SentenceTransformersEncoder:
        """The model in a folder, or of the hub by its name; no code of the model's is ever run.

        Raises MissingExtra without the library, and ModelError for what it cannot load.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtra(f"the encoder '{model}'", EXTRA) from error
        encoding = encoding or Encoding()
        check_texts([encoding.query_prompt or "", encoding.passage_prompt or ""], "prompt")
        try:
            loaded = SentenceTransformer(
                model, revision=revision, local_files_only=offline, trust_remote_code=False
            )
        except Exception as error:  # each of the library's modules raises what it likes
            raise ModelError(
                f"'{model}' cannot be loaded by sentence-transformers: {error}; expected a folder "
                "or hub name of a model of that library"
            ) from error
        return cls(loaded, encoding)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return int(self._model.get_embedding_dimension() or 0)

    @property
    def fingerprint(self) -> str:
        """A name of the weights, the modules, the prompts and the longest row; reads all weights."""
        if self._fingerprint is None:
            facts = [
                FORM,
                str(self._model),
                self._prompts,
                self._normalised,
                self._model.max_seq_length,
            ]
            total = hashlib.sha256(json.dumps(facts).encode())
            for name, tensor in sorted(self._model.state_dict().items()):
                values = tensor.detach().cpu().float().contiguous().numpy()
                total.update(f"\n{name} {values.shape}\n".encode())
                total.update(values.data)
            self._fingerprint = total.hexdigest()
        return self._fingerprint

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension], each behind the model's prompt for queries.

        Raises InvalidInput for what is no text and EngineError for a vector that is not finite.
        """
        return self._encode(listed(texts), self._prompts[0])

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages, behind the model's prompt for them."""
        return self._encode(listed(texts), self._prompts[1])

    def _encode(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = np.asarray(
            self._model.encode(
                list(texts),
                prompt=prompt,
                batch_size=self._at_once,
                show_progress_bar=False,
                convert_to_numpy=True,
            ),
            dtype=np.float32,
        )
        check_finite(vectors)
        return normalise(vectors) if self._normalised else vectors


def _prompt(model: SentenceTransformer, names: Sequence[str]) -> str:
    """The prompt that the model states for a side, by the names that the library knows."""
    stated = next((name for name in names if name in model.prompts), model.default_prompt_name)
    return str(model.prompts.get(stated, "")) if stated else ""
