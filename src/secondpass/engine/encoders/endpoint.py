"""EndpointEncoder: vectors from an OpenAI-compatible /embeddings endpoint, asked with patience.

texts -> batches -> POST, again after 429 and 5xx -> checked vectors -> normalise
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondpass.endpoints import Post, address
from secondpass.engine.bi_encoder import normalise
from secondpass.engine.encoder_spec import Encoding
from secondpass.engine.pairs import check_texts, listed
from secondpass.errors import EngineError, InvalidInput

FORM = 1  # of what is hashed; a change of it is a change of every fingerprint
PROBE = "dimension"  # the text whose vector tells the dimension, one or two tokens
BLANK = " "  # endpoints refuse an empty text
LEAST_LENGTH = 1e-6
PATH = "embeddings"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an encoder is asked, and how patiently.

    `url` is the part before /embeddings. A request carries at most `batch_texts` texts, is given
    up after `timeout_s` seconds without an answer, and made at most `attempts` times. `dimensions`
    asks for shorter vectors where the model can.
    """

    url: str = "https://api.openai.com/v1"
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    attempts: int = 6
    batch_texts: int = 128
    dimensions: int | None = None

    def __post_init__(self) -> None:
        address(self.url, PATH)
        for name in ("timeout_s", "attempts", "batch_texts", "dimensions"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidInput(f"{name}={value} asks for nothing; pass a number above 0")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked for so far; `tokens` as the endpoint counted them, for they are what it bills."""

    requests: int = 0
    texts: int = 0
    tokens: int = 0


class EndpointEncoder:
    """An encoder behind HTTP. Many threads may use one at the same time.

    `usage` says what was spent; `on_progress`, if set, is called with it after every request, and
    each is logged at the level INFO. Use `open`; the constructor takes finished parts.
    """

    def __init__(self, model: str, endpoint: Endpoint, encoding: Encoding, post: Post) -> None:
        self.name = ""  # what finds it again, where a name loaded it
        self.usage = Usage()
        self.on_progress: Callable[[Usage], None] | None = None
        self._model = model
        self._endpoint = endpoint
        self._prompts = (encoding.query_prompt or "", encoding.passage_prompt or "")
        self._post = post
        self._lock = threading.Lock()
        self._dimension = endpoint.dimensions or self._ask([PROBE]).shape[1]

    @classmethod
    def open(
        cls,
        model: str,
        endpoint: Endpoint,
        *,
        encoding: Encoding | None = None,
    ) -> EndpointEncoder:
        """The model `model` of this endpoint, which is asked for one vector to learn its dimension.

        Of `encoding` the prompts count. Raises EngineError where the endpoint does not answer, or
        not as an endpoint for embeddings would.
        """
        encoding = encoding or Encoding()
        check_texts([encoding.query_prompt or "", encoding.passage_prompt or ""], "prompt")
        post = Post(
            address(endpoint.url, PATH), endpoint.key, endpoint.timeout_s, endpoint.attempts
        )
        return cls(model, endpoint, encoding, post)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """The model's name, the dimension and the prompts: all that can be known from outside.

        The address is not in it, so that a server may move; that the same name there means the same
        model is for its owner to see to.
        """
        facts = [FORM, self._model, self._dimension, self._prompts]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension], of length 1.

        Equal texts are sent once. Raises InvalidInput for what is no text, and EngineError where
        the endpoint keeps failing or answers something that is no vectors for these texts.
        """
        return self._encode(listed(texts), self._prompts[0])

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages."""
        return self._encode(listed(texts), self._prompts[1])

    def _encode(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        sent = [prompt + text if (prompt + text).strip() else BLANK for text in texts]
        unique = list(dict.fromkeys(sent))
        vectors = np.empty((len(unique), self._dimension), dtype=np.float32)
        for start in range(0, len(unique), self._endpoint.batch_texts):
            part = unique[start : start + self._endpoint.batch_texts]
            found = self._ask(part)
            if found.shape[1] != self._dimension:
                raise EngineError(
                    f"'{self._post.url}' gave vectors of {found.shape[1]} numbers; expected "
                    f"{self._dimension}, as before; is another model served there now?"
                )
            vectors[start : start + len(part)] = found
        where = {text: at for at, text in enumerate(unique)}
        return vectors[np.array([where[text] for text in sent], dtype=np.intp)]

    def _ask(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of one request; what the endpoint counted goes into `usage`."""
        body: dict[str, object] = {"model": self._model, "input": list(texts)}
        if self._endpoint.dimensions is not None:
            body["dimensions"] = self._endpoint.dimensions
        answer = self._post(body)
        vectors = normalise(read_vectors(answer, len(texts), self._post.url))
        counted = answer.get("usage")
        tokens = counted.get("total_tokens", 0) if isinstance(counted, Mapping) else 0
        with self._lock:
            self.usage = Usage(
                self.usage.requests + 1,
                self.usage.texts + len(texts),
                self.usage.tokens + (tokens if isinstance(tokens, int) else 0),
            )
            usage = self.usage
        logger.info("%d texts encoded by '%s', %d tokens", usage.texts, self._model, usage.tokens)
        if self.on_progress is not None:
            self.on_progress(usage)
        return vectors


def read_vectors(answer: Mapping[str, object], count: int, url: str) -> NDArray[np.float32]:
    """The vectors of an answer in the order of the texts; raises EngineError for anything else."""
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(one, Mapping) for one in data):
        raise EngineError(
            f"'{url}' answered without a list 'data' (it has {', '.join(answer) or 'nothing'}); "
            "expected the answer of an OpenAI-compatible /embeddings endpoint; check the address"
        )
    if len(data) != count:
        raise EngineError(
            f"'{url}' gave {len(data)} vectors for {count} texts; expected one a text; ask for fewer "
            "texts at once (batch_texts), or report it to the endpoint's owner"
        )
    places = [one.get("index", at) for at, one in enumerate(data)]
    if not all(isinstance(at, int) for at in places) or sorted(places) != list(range(count)):
        raise EngineError(
            f"'{url}' numbers its vectors {places[:5]}...; expected each of 0 to {count - 1} once"
        )
    rows = [one.get("embedding") for _, one in sorted(zip(places, data, strict=True), key=_place)]
    try:
        vectors = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EngineError(
            f"'{url}' gave vectors that are not all lists of equally many numbers ({error}); expected "
            "'embedding' as a list of floats"
        ) from error
    if vectors.ndim != 2 or not vectors.size:
        raise EngineError(
            f"'{url}' gave vectors of the shape {list(vectors.shape)}; expected 'embedding' as a "
            "list of floats"
        )
    _check(vectors, url)
    return vectors


def _place(numbered: tuple[int, object]) -> int:
    return numbered[0]


def _check(vectors: NDArray[np.float32], url: str) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths < LEAST_LENGTH))
    if len(bad):
        what = "only zeros" if lengths[bad[0]] < LEAST_LENGTH else "NaN or infinite numbers"
        raise EngineError(
            f"'{url}' gave a vector of {what} for text {bad[0]} of a request ({len(bad)} of "
            f"{len(vectors)} vectors); expected finite numbers; nothing can be found by it"
        )
