"""OnnxEncoder: an encoder exported to ONNX, with its own tokenizer and the pooling its files state.

texts -> prompt + text -> ids -> ONNX Runtime, a text at a time -> pooling -> normalise
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.bi_encoder import normalise
from secondpass.engine.encoder_spec import (
    LEAST_TOKENS,
    EncoderSpec,
    Encoding,
    read_pooling,
    read_prompts,
)
from secondpass.engine.locate import locate
from secondpass.engine.pairs import listed, tokenizer_digest
from secondpass.engine.scoring import check_finite
from secondpass.engine.spec import read_json
from secondpass.engine.texts import TextTokenizer
from secondpass.errors import InvalidInput, MissingExtra, ModelError

EXTRA = "onnx"
FORM = 1  # of what is hashed; a change of it is a change of every fingerprint
FILES = ("model.onnx", "onnx/model.onnx")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
POOLED = "sentence_embedding"  # an output that is a vector already
STATES = ("last_hidden_state", "token_embeddings")
DEFAULT_TOKENS = 512
ANY_VOCABULARY = 2**31  # the graph itself refuses ids that it has no row for

logger = logging.getLogger(__name__)


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession."""

    def run(
        self, output_names: list[str], input_feed: dict[str, NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """These outputs for these inputs."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The names that the graph has for its inputs, for the output that is read, and its width."""

    inputs: tuple[str, ...]
    output: str
    dimension: int


class OnnxEncoder:
    """An encoder in ONNX Runtime on a CPU. Many threads may use one at the same time.

    Use `load`; the constructor takes finished parts.
    """

    def __init__(
        self,
        session: Session,
        graph: Graph,
        spec: EncoderSpec,
        tokenizer: TextTokenizer,
        fingerprint: str,
    ) -> None:
        self.spec = spec
        self._session = session
        self._graph = graph
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        revision: str | None = None,
        offline: bool = False,
        encoding: Encoding | None = None,
        threads: int | None = None,
    ) -> OnnxEncoder:
        """The encoder in a folder, or of the hub by its name: model.onnx, tokenizer.json, pooling.

        Raises MissingExtra without onnxruntime, ModelError for files that are missing or no
        encoder's, and InvalidInput for an `encoding` that must say what they do not.
        """
        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingExtra(f"the encoder 'onnx:{model}'", EXTRA) from error
        folder = locate(model, revision=revision, offline=offline, onnx=True)
        path = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if path is None:
            raise ModelError(f"'{folder}' has no {' and no '.join(FILES)}; expected one of them")
        spec = read_spec(folder, encoding or Encoding())
        tokenizer = TextTokenizer.load(
            folder, vocabulary=ANY_VOCABULARY, lower_case=spec.lower_case
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no other root
            raise ModelError(f"'{path}' is no model that ONNX Runtime reads: {error}") from error
        shapes = {one.name: list(one.shape) for one in session.get_outputs()}
        graph = read_graph([one.name for one in session.get_inputs()], shapes, path)
        return cls(session, graph, spec, tokenizer, _fingerprint(folder, path, spec))

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._graph.dimension

    @property
    def fingerprint(self) -> str:
        """A name of the graph, the tokenizer and what is done around them."""
        return self._fingerprint

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension], each behind the model's prompt for queries.

        Texts that were cut are logged. Raises InvalidInput for what is no text and EngineError for
        a vector that is not finite.
        """
        return self._encode(listed(texts), self.spec.query_prompt)

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages, behind the model's prompt for them."""
        return self._encode(listed(texts), self.spec.passage_prompt)

    def _encode(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        prompted = [prompt + text for text in texts]
        rows, cut = self._tokenizer.rows(prompted, max_tokens=self.spec.max_tokens)
        if cut:
            logger.warning(
                "%d of %d texts are longer than the %d tokens that the encoder reads and were cut, "
                "text %d first; split them smaller",
                len(cut),
                len(texts),
                self.spec.max_tokens,
                cut[0],
            )
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        for at, row in enumerate(rows):
            vectors[at] = self._vector(row.ids)
        check_finite(vectors)
        return normalise(vectors) if self.spec.normalised else vectors

    def _vector(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        tokens = ids.astype(np.int64)[None, :]
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        feed = {name: given[name] for name in self._graph.inputs}
        (found,) = self._session.run([self._graph.output], feed)
        states = found[0]
        vector: NDArray[np.float32] = states
        if states.ndim == 2:
            vector = states[0] if self.spec.pooling == "cls" else states.mean(axis=0)
        return vector


def read_spec(folder: Path, encoding: Encoding) -> EncoderSpec:
    """What is done around the graph, from the same files as for any other bi-encoder."""
    pooling, normalised = read_pooling(folder, encoding)
    query, passage = read_prompts(folder)
    sentence = read_json(folder / "sentence_bert_config.json", optional=True)
    tokenizer = read_json(folder / "tokenizer_config.json", optional=True)
    limit = tokenizer.get("model_max_length")
    most = int(limit) if isinstance(limit, int) and limit < 10**6 else DEFAULT_TOKENS
    stated = sentence.get("max_seq_length", most)
    tokens = encoding.max_tokens or (stated if isinstance(stated, int) else most)
    if not LEAST_TOKENS <= tokens <= most:
        raise InvalidInput(
            f"max_tokens={tokens} is not between {LEAST_TOKENS} and the model's limit of {most}; "
            "pass such a number as Encoding(max_tokens=...)"
        )
    return EncoderSpec(
        pooling=pooling,
        normalised=normalised,
        query_prompt=query if encoding.query_prompt is None else encoding.query_prompt,
        passage_prompt=passage if encoding.passage_prompt is None else encoding.passage_prompt,
        max_tokens=tokens,
        lower_case=bool(sentence.get("do_lower_case", False)),
    )


def read_graph(inputs: Sequence[str], outputs: dict[str, list[object]], path: Path) -> Graph:
    """The graph's inputs and the output that holds vectors; raises ModelError for another graph."""
    if unknown := sorted(set(inputs) - set(INPUTS)):
        raise ModelError(
            f"'{path}' asks for the inputs {', '.join(unknown)}; known are {', '.join(INPUTS)}; "
            "export the encoder for feature extraction"
        )
    for name in (POOLED, *STATES):
        shape = outputs.get(name, [])
        if len(shape) in (2, 3) and isinstance(shape[-1], int):
            return Graph(tuple(inputs), name, shape[-1])
    raise ModelError(
        f"'{path}' has the outputs {outputs}; expected {POOLED} or {' or '.join(STATES)} with a "
        "fixed width; export the encoder for feature extraction"
    )


def _fingerprint(folder: Path, path: Path, spec: EncoderSpec) -> str:
    facts = {"form": FORM, "spec": asdict(spec), "tokenizer": tokenizer_digest(folder)}
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part in (path, *sorted(path.parent.glob(f"{path.name}?data"))):  # weights kept apart
        with part.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
