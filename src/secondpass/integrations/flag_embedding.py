"""A guest for programs of FlagEmbedding: its FlagReranker, which scores pairs.

Needs no FlagEmbedding. Texts longer than `max_length` are read in windows and not cut.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.engine.locate import locate
from secondpass.engine.scoring import sigmoid
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import check_devices, load

logger = logging.getLogger(__name__)

Pair = tuple[str, str] | Sequence[str]


class FlagReranker:
    """The shape of FlagEmbedding's class of this name.

    `use_fp16` and `batch_size` have no effect: scores depend on neither. `devices` may only name the
    CPU. Raises what `CrossEncoder.load` raises, and InvalidInput for what cannot be done.
    """

    def __init__(
        self,
        model_name_or_path: str | Path | CrossEncoder,
        use_fp16: bool = False,
        query_instruction_for_rerank: str | None = None,
        query_instruction_format: str = "{}{}",
        passage_instruction_for_rerank: str | None = None,
        passage_instruction_format: str = "{}{}",
        trust_remote_code: bool = False,
        cache_dir: str | None = None,
        devices: str | Sequence[str] | None = None,
        batch_size: int = 128,
        query_max_length: int | None = None,
        max_length: int = 512,
        normalize: bool = False,
    ) -> None:
        check_devices(devices)
        if trust_remote_code:
            logger.warning("trust_remote_code has no effect: no code of a checkpoint is ever run")
        model = model_name_or_path
        if cache_dir is not None and not isinstance(model, CrossEncoder):
            model = locate(model, cache=Path(cache_dir))
        self.model = load(model)
        self.use_fp16 = use_fp16
        self.query_instruction_for_rerank = query_instruction_for_rerank
        self.query_instruction_format = query_instruction_format
        self.passage_instruction_for_rerank = passage_instruction_for_rerank
        self.passage_instruction_format = passage_instruction_format
        self.batch_size = batch_size
        self.query_max_length = query_max_length
        self.max_length = max_length
        self.normalize = normalize

    def compute_score(
        self,
        sentence_pairs: Sequence[Pair] | Pair,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
    ) -> list[float]:
        """The logits of pairs in their order, their sigmoids with `normalize`; of one pair too a list.

        None takes what the constructor was given. Raises InvalidInput for a query of more than
        `query_max_length` tokens, which FlagEmbedding would cut.
        """
        given = list(sentence_pairs)
        single = bool(given) and isinstance(given[0], str)
        pairs = [self._with_instructions(pair) for pair in ([given] if single else given)]
        most = self.query_max_length if query_max_length is None else query_max_length
        if most is not None:
            self._check_queries({query for query, _ in pairs}, most)
        length = self.max_length if max_length is None else max_length
        limits = replace(self.model.limits, max_tokens=min(length, self.model.spec.max_tokens))
        logits = replace(self.model, limits=limits).score(pairs)
        normalize = self.normalize if normalize is None else normalize
        scores: list[float] = (sigmoid(logits) if normalize else logits).tolist()
        return scores

    def _with_instructions(self, pair: object) -> tuple[str, str]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidInput(f"{pair!r:.80} is no pair; expected (query, passage)")
        query, passage = pair
        if self.query_instruction_for_rerank is not None:
            query = self.query_instruction_format.format(self.query_instruction_for_rerank, query)
        if self.passage_instruction_for_rerank is not None:
            passage = self.passage_instruction_format.format(
                self.passage_instruction_for_rerank, passage
            )
        return query, passage

    def _check_queries(self, queries: set[str], most: int) -> None:
        for query in queries:
            if (tokens := len(self.model.token_spans(query))) > most:
                raise InvalidInput(
                    f"the query '{query:.60}' has {tokens} tokens, query_max_length is {most}; "
                    "shorten it or raise query_max_length: no query is cut silently"
                )
