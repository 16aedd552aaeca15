"""Guests in Haystack 3: a ranker and a retriever, as components of its pipelines.

A pipeline that holds them is read back with `allowed_modules=["secondpass.integrations.*"]`:
Haystack imports nobody's classes but its own unless it is told to.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.fields import written
from secondpass.integrations.loading import check_devices, host, load
from secondpass.integrations.passages import place_of, relevance_of, scores_of
from secondpass.library import Index
from secondpass.pipeline import DEFAULT_DEPTH, Pipeline
from secondpass.types import Hit

with host("Haystack", "haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict

DEFAULT_MODEL = "mini"

logger = logging.getLogger(__name__)


@component
class SecondpassRanker:
    """Reranks documents; takes the place of `SentenceTransformersSimilarityRanker`.

    A document's score becomes the model's probability, or with `scale_score=False` its logit;
    `score_threshold` is one of the same kind. The model reads the fields `meta_fields_to_embed` and
    the content, joined by `embedding_separator`. The model is loaded by `warm_up`, or by the first
    call.
    """

    def __init__(
        self,
        *,
        model: str | Path | CrossEncoder = DEFAULT_MODEL,
        device: str | None = None,
        top_k: int | None = 10,
        query_prefix: str = "",
        query_suffix: str = "",
        document_prefix: str = "",
        document_suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        scale_score: bool = True,
        score_threshold: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        check_devices(device)
        _check_top_k(top_k)
        self.model = model
        self.device = device
        self.top_k = top_k
        self.query_prefix = query_prefix
        self.query_suffix = query_suffix
        self.document_prefix = document_prefix
        self.document_suffix = document_suffix
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        self.scale_score = scale_score
        self.score_threshold = score_threshold
        self.max_tokens = max_tokens
        self._engine: CrossEncoder | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Load the model, once."""
        self._loaded()

    def close(self) -> None:
        """Release the model, unless it was handed over loaded; the next call loads it again."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None and not isinstance(self.model, CrossEncoder):
            engine.close()

    def to_dict(self) -> dict[str, Any]:
        """The parameters, as Haystack writes them; InvalidInput where the model has no name."""
        saved: dict[str, Any] = default_to_dict(
            self,
            model=written(self.model),
            device=self.device,
            top_k=self.top_k,
            query_prefix=self.query_prefix,
            query_suffix=self.query_suffix,
            document_prefix=self.document_prefix,
            document_suffix=self.document_suffix,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
            scale_score=self.scale_score,
            score_threshold=self.score_threshold,
            max_tokens=self.max_tokens,
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` wrote."""
        made: Self = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(
        self,
        *,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents, best first, as copies; None takes the component's own value.

        Of documents with one id the one with the highest score takes part.
        """
        _check_top_k(top_k)
        top_k = self.top_k if top_k is None else top_k
        scale = self.scale_score if scale_score is None else scale_score
        least = self.score_threshold if score_threshold is None else score_threshold
        unique = _unique(documents)
        if not unique:
            return {"documents": []}
        texts = [self._text(document) for document in unique]
        lines = self._loaded().rerank(f"{self.query_prefix}{query}{self.query_suffix}", texts)
        scored = [(line.index, line.probability if scale else line.score) for line in lines]
        reaching = [(at, score) for at, score in scored if least is None or score >= least]
        return {"documents": [replace(unique[at], score=score) for at, score in reaching[:top_k]]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        *,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread: the event loop goes on meanwhile."""
        answer: dict[str, list[Document]] = await asyncio.to_thread(
            self.run,
            query=query,
            documents=documents,
            top_k=top_k,
            scale_score=scale_score,
            score_threshold=score_threshold,
        )
        return answer

    def _loaded(self) -> CrossEncoder:
        with self._lock:
            if self._engine is None:
                self._engine = load(self.model, max_tokens=self.max_tokens)
            return self._engine

    def _text(self, document: Document) -> str:
        shown = [document.meta.get(field) for field in self.meta_fields_to_embed]
        parts = [str(value) for value in shown if value not in (None, "")]
        text = self.embedding_separator.join([*parts, document.content or ""])
        return f"{self.document_prefix}{text}{self.document_suffix}"


@component
class SecondpassRetriever:
    """Searches an Index: its first stage, and the reranker `model` (none where None) over `depth`.

    A document's score is the model's probability; without a reranker the first stage's score. Its
    meta have what the passage knows of its place, and the scores `retrieval_score` (the first
    stage's) and `order_score` (what the answer is ordered by). Index and model are opened by
    `warm_up`, or by the first call.
    """

    def __init__(
        self,
        *,
        index: str | Path | Index,
        model: str | Path | CrossEncoder | None = DEFAULT_MODEL,
        top_k: int = 10,
        depth: int = DEFAULT_DEPTH,
        first_stage: str | None = None,
        score_threshold: float | None = None,
    ) -> None:
        _check_top_k(top_k)
        self.index = index
        self.model = model
        self.top_k = top_k
        self.depth = depth
        self.first_stage = first_stage
        self.score_threshold = score_threshold
        self._opened: tuple[Index, CrossEncoder | None] | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Open the index and load the model, once."""
        self._pipeline()

    def close(self) -> None:
        """Release what was opened here; the next call opens it again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is None:
            return
        index, model = opened
        if not isinstance(self.index, Index):
            index.close()
        if model is not None and not isinstance(self.model, CrossEncoder):
            model.close()

    def to_dict(self) -> dict[str, Any]:
        """The parameters, as Haystack writes them; InvalidInput for an index that is open."""
        saved: dict[str, Any] = default_to_dict(
            self,
            index=written(self.index),
            model=None if self.model is None else written(self.model),
            top_k=self.top_k,
            depth=self.depth,
            first_stage=self.first_stage,
            score_threshold=self.score_threshold,
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` wrote."""
        made: Self = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(self, *, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The `top_k` best passages as documents, best first."""
        _check_top_k(top_k)
        hits = self._pipeline().search(
            query, top_k or self.top_k, min_probability=self.score_threshold
        )
        return {"documents": [_document_of(hit) for hit in hits]}

    @component.output_types(documents=list[Document])
    async def run_async(self, *, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """As `run`, in a thread: the event loop goes on meanwhile."""
        answer: dict[str, list[Document]] = await asyncio.to_thread(
            self.run, query=query, top_k=top_k
        )
        return answer

    def _pipeline(self) -> Pipeline:
        with self._lock:
            if self._opened is None:
                model = None if self.model is None else load(self.model)
                given = self.index
                index = given if isinstance(given, Index) else Index.open(given, create=False)
                self._opened = index, model
            index, model = self._opened
        return Pipeline(index.retriever(first_stage=self.first_stage), model, depth=self.depth)


def _check_top_k(top_k: int | None) -> None:
    if top_k is not None and top_k < 1:
        raise InvalidInput(f"top_k={top_k}; expected a whole number from 1, or None for all")


def _unique(documents: Sequence[Document]) -> list[Document]:
    best: dict[str, Document] = {}
    for document in documents:
        known = best.get(document.id)
        if known is None or (document.score or 0.0) > (known.score or 0.0):
            best[document.id] = document
    if len(best) < len(documents):
        logger.info("%d documents came more than once", len(documents) - len(best))
    return list(best.values())


def _document_of(hit: Hit) -> Document:
    meta = {**place_of(hit.passage), **scores_of(hit)}
    return Document(id=hit.passage.id, content=hit.passage.text, meta=meta, score=relevance_of(hit))
