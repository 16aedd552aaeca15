"""CrossEncoder: a ranking model, from its files to ranked texts.

query, texts -> encode_pairs -> plan_batches -> backend.forward -> best window -> total order
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.backends.table import build_backend, choose_backend
from secondpass.engine.batching import pack, plan_batches
from secondpass.engine.budget import CostModel, check_budget, within
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.compute import Compute
from secondpass.engine.encode import EncodedPairs, LongTexts, Reach, calibration_rows, encode_pairs
from secondpass.engine.locate import locate
from secondpass.engine.outliers import MOST_ERROR, calibrate, logit_error
from secondpass.engine.pairs import PairTokenizer, check_texts, listed, ordered
from secondpass.engine.scoring import check_finite, descending, sigmoid
from secondpass.engine.spec import ModelSpec
from secondpass.engine.tokenized import Text, TokenizedText, check_tokenized, size_of
from secondpass.errors import InvalidInput
from secondpass.protocols import Backend
from secondpass.types import Ranked, Window

DEFAULT_MODEL = "mini"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes through the model at once.

    A text that does not fit `window_tokens` together with its query is read in windows that share
    `window_overlap` tokens, and its best window counts (MaxP, Dai and Callan 2019,
    arXiv:1905.09217); with `long_texts='truncate'` only the first window is read, and the answer
    says so. None takes the model's own value. `batch_tokens` bounds the memory of a forward pass;
    scores do not depend on it.
    """

    max_tokens: int | None = None
    window_tokens: int | None = None
    window_overlap: int = 64
    long_texts: LongTexts = "windows"
    batch_tokens: int = 8192

    def reach(self, spec: ModelSpec) -> Reach:
        """These limits for one model; raises InvalidInput for what it cannot do."""
        max_tokens = spec.max_tokens if self.max_tokens is None else self.max_tokens
        window_tokens = min(spec.window_tokens, max_tokens)
        if self.window_tokens is not None:
            window_tokens = self.window_tokens
        for name, value, most in (
            ("max_tokens", max_tokens, spec.max_tokens),
            ("window_tokens", window_tokens, max_tokens),
        ):
            if value > most:
                raise InvalidInput(
                    f"{name}={value} exceeds the model's limit of {most}; pass a smaller value, or "
                    "leave it out and long texts are scored by windows"
                )
            if value < 32:
                raise InvalidInput(
                    f"{name}={value} is too small for a query and a text; pass 32 or more"
                )
        if self.batch_tokens < 1:
            raise InvalidInput(
                f"batch_tokens={self.batch_tokens} leaves no room for a batch; pass 1 or more"
            )
        if self.window_overlap < 0:
            raise InvalidInput(
                f"window_overlap={self.window_overlap} is negative; expected 0 or more"
            )
        if self.long_texts not in ("windows", "truncate"):
            raise InvalidInput(
                f"long_texts='{self.long_texts}' is neither 'windows' nor 'truncate'"
            )
        return Reach(max_tokens, window_tokens, self.window_overlap, self.long_texts)


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """The scores of pairs, in their order: logits float32[pairs], and how each was read.

    A pair that was not reached has a window count of 0 and the logit -inf.
    """

    logits: NDArray[np.float32]
    windows: list[Window | None]
    window_counts: list[int]
    truncated: set[int]

    @classmethod
    def empty(cls, pairs: int) -> PairScores:
        """Room for so many pairs, none of them scored."""
        return cls(np.full(pairs, -np.inf, dtype=np.float32), [None] * pairs, [0] * pairs, set())

    def put(self, start: int, part: PairScores) -> None:
        """Fill in the pairs from `start` on."""
        end = start + len(part.logits)
        self.logits[start:end] = part.logits
        self.windows[start:end] = part.windows
        self.window_counts[start:end] = part.window_counts
        self.truncated.update(start + at for at in part.truncated)

    def take(self, order: Sequence[int]) -> PairScores:
        """The scores of these pairs, in this order, repeated where `order` repeats."""
        return PairScores(
            logits=self.logits[np.asarray(order, dtype=np.intp)],
            windows=[self.windows[at] for at in order],
            window_counts=[self.window_counts[at] for at in order],
            truncated={to for to, at in enumerate(order) if at in self.truncated},
        )


@dataclass(frozen=True, slots=True, eq=False)
class CrossEncoder:
    """A ranking model. Many threads may use one at the same time.

    `spec` holds the model's facts, `backend_name` says what computes and `precision` in which
    numbers. Use `load`; the constructor takes finished parts.
    """

    spec: ModelSpec
    tokenizer: PairTokenizer
    backend: Backend
    backend_name: str
    limits: Limits = field(default_factory=Limits)
    precision: str = "fp32"
    costs: CostModel = field(default_factory=CostModel)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        backend: str = "auto",
        revision: str | None = None,
        offline: bool = False,
        limits: Limits | None = None,
        compute: Compute | None = None,
    ) -> CrossEncoder:
        """The bundled model by its name, a checkpoint's folder, or a model of the hub.

        Raises ModelError where the files are missing, broken or no cross-encoder's, and
        InvalidInput for limits that the model does not have and for a precision that the backend
        does not have. Only a hub name that is not cached touches the network.
        """
        limits = limits or Limits()
        folder = locate(model, revision=revision, offline=offline)
        spec = ModelSpec.read(folder)
        limits.reach(spec)
        tokenizer = PairTokenizer.load(
            folder, vocabulary=spec.vocabulary, two_sided=spec.join_layer > 0
        )
        weights = load_weights(folder, spec)
        name, settled = choose_backend(backend, spec, compute or Compute())
        calibration = None
        if settled.precision == "int8" and spec.outliers is None:
            calibration = calibrate(spec, weights, calibration_rows(tokenizer, spec))
            spec = calibration.spec
        built = build_backend(name, spec, weights, settled)
        if calibration and (error := logit_error(calibration, weights, built)) > MOST_ERROR:
            logger.warning("int8 moves logits of '%s' by up to %.2f; fp32 is exact", model, error)
            if compute is None or compute.precision == "auto":
                logger.warning("fp32 takes the place of int8; precision='int8' insists on it")
                settled = replace(settled, precision="fp32")
                built = build_backend(name, spec, weights, settled)
        return cls(spec, tokenizer, built, name, limits, settled.precision)

    @property
    def first_stage_weight(self) -> float:
        """The weight of the first stage's z-score that a pipeline should add to this model's."""
        return self.spec.first_stage_weight

    def score(self, pairs: Iterable[tuple[str, Text]]) -> NDArray[np.float32]:
        """The raw logits of (query, text) pairs, float32[pairs] in input order, higher for better.

        A pair's logit does not depend on the other pairs. Raises InvalidInput for a query that
        leaves no room for a text, and EngineError for a logit that is not finite.
        """
        given = list(pairs)
        for at, pair in enumerate(given):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise InvalidInput(f"pair {at} is {pair!r:.80}; expected a (query, text) tuple")
        check_texts([query for query, _ in given], "query")
        self._check([text for _, text in given])
        return self._score([(query, text) for query, text in given]).logits

    def rerank(
        self,
        query: str,
        texts: Iterable[Text],
        top_k: int | None = None,
        *,
        budget_ms: float | None = None,
    ) -> list[Ranked]:
        """The `top_k` texts that answer `query` best (all where None), best first.

        Ties keep the order of `texts`; a blank text is scored like any other. A text may be handed
        over as `tokenize` gave it. With `budget_ms`, texts are scored in their given order until the
        time is up; those that were not reached follow in that order, their `scored` being False.
        The very first call of a model has nothing to plan by and may take a text longer. Raises
        InvalidInput for a blank query, for top_k < 1, for a budget that is no span of time, and for
        what is no text.
        """
        if not isinstance(query, str) or not query.strip():
            raise InvalidInput(f"the query is {query!r:.80}; expected a question or keywords")
        if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
            raise InvalidInput(f"top_k={top_k!r}; expected a whole number from 1, or None for all")
        check_budget(budget_ms)
        check_texts([query], "query")
        given = ordered(texts)
        self._check(given)
        seconds = math.inf if budget_ms is None else budget_ms / 1000
        scores = self._score([(query, text) for text in given], seconds)
        probabilities = sigmoid(scores.logits)
        return [
            Ranked(
                index=int(at),
                score=float(scores.logits[at]),
                probability=float(probabilities[at]),
                window=scores.windows[at],
                windows=scores.window_counts[at],
                truncated=int(at) in scores.truncated,
                scored=scores.window_counts[at] > 0,
            )
            for at in descending(scores.logits)[:top_k]
        ]

    def tokenize(self, texts: Iterable[str]) -> list[TokenizedText]:
        """The texts as this model's tokenizer reads them, to be kept and handed to `rerank`.

        They hold plain arrays: ids int32[tokens] and offsets int32[tokens, 2]. Raises InvalidInput
        for what is no text.
        """
        encoded = self.tokenizer.encode(listed(texts))
        return [TokenizedText(text.ids, text.spans, text.tokenizer) for text in encoded]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The characters that each of the text's tokens stands for, in order."""
        check_texts([text])
        (tokens,) = self.tokenizer.encode([text])
        return [(int(start), int(end)) for start, end in tokens.spans]

    def close(self) -> None:
        """Release the weights; a later call to score or rerank raises EngineError."""
        self.backend.close()

    def __enter__(self) -> CrossEncoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, texts: Sequence[Text]) -> None:
        check_tokenized(texts, tokenizer=self.tokenizer.digest, vocabulary=self.spec.vocabulary)
        check_texts([text for text in texts if not isinstance(text, TokenizedText)])

    def _score(self, pairs: Sequence[tuple[str, Text]], seconds: float = math.inf) -> PairScores:
        """Scores of all pairs that can be had in time; identical pairs go through the model once.

        What is not reached has no window and the score -inf.
        """
        unique = list(dict.fromkeys(pairs))
        sizes = [size_of(query) + size_of(text) for query, text in unique]
        scores = PairScores.empty(len(unique))
        if math.isinf(seconds):
            start = time.perf_counter()
            scores.put(0, self._score_all(unique))
            self.costs.learn(sizes, time.perf_counter() - start)
        else:

            def score(start: int, end: int) -> None:
                scores.put(start, self._score_all(unique[start:end]))

            within(seconds, sizes, self.costs, score, time.perf_counter)
        where = {pair: at for at, pair in enumerate(unique)}
        return scores.take([where[pair] for pair in pairs])

    def _score_all(self, pairs: Sequence[tuple[str, Text]]) -> PairScores:
        reach = self.limits.reach(self.spec)
        encoded = encode_pairs(pairs, self.tokenizer, reach, self.spec.token_types)
        logits = np.empty(len(encoded.rows), dtype=np.float32)
        lengths = [len(row.ids) for row in encoded.rows]
        for batch in plan_batches(lengths, max_tokens=self.limits.batch_tokens):
            logits[batch] = self.backend.forward(pack([encoded.rows[row] for row in batch]))
        check_finite(logits)
        return best_windows(logits, encoded, len(pairs))


def best_windows(logits: NDArray[np.float32], encoded: EncodedPairs, pairs: int) -> PairScores:
    """For each pair its best row's logit and window; the first of equals."""
    best = PairScores.empty(pairs)
    best.truncated.update(encoded.truncated)
    for logit, owner, window in zip(logits, encoded.owners, encoded.windows, strict=True):
        best.window_counts[owner] += 1
        if logit > best.logits[owner]:
            best.logits[owner], best.windows[owner] = logit, window
    return best
