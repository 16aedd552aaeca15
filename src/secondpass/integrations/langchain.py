"""Guests in LangChain: a cross-encoder, a document compressor, a retriever and a vector store.

Scores are Python floats, the documents that come in stay what they are, and the async twins of all
methods work in a thread beside the event loop. The vector store is in langchain_store.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.engine.scoring import sigmoid
from secondpass.errors import InvalidInput
from secondpass.integrations.fields import ModelField, Unexamined
from secondpass.integrations.langchain_store import (
    SecondpassEmbeddings,
    SecondpassVectorStore,
    document_of,
)
from secondpass.integrations.loading import check_devices, host, load
from secondpass.integrations.passages import relevance_of, scores_of
from secondpass.pipeline import Pipeline
from secondpass.types import Hit

with host("LangChain", "langchain"):
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
        Callbacks,
    )
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableLambda
    from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr

__all__ = [
    "SecondpassCrossEncoder",
    "SecondpassEmbeddings",
    "SecondpassRerank",
    "SecondpassRetriever",
    "SecondpassVectorStore",
]

DEFAULT_MODEL = "mini"


class SecondpassCrossEncoder(BaseModel, BaseCrossEncoder):
    """Scores pairs of texts; takes the place of `HuggingFaceCrossEncoder`.

    `model_name` (`model` is understood too) is a bundled model, a folder, a hub name or a loaded
    CrossEncoder. `model_kwargs` may name the device, which is the CPU.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_name: ModelField = Field(
        default=DEFAULT_MODEL, validation_alias=AliasChoices("model_name", "model")
    )
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_tokens: int | None = None
    _engine: CrossEncoder = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Load the model."""
        for name in self.model_kwargs:
            if name != "device":
                raise InvalidInput(
                    f"model_kwargs has {name}, which secondpass's models do not take; expected "
                    "device, or nothing; leave it out"
                )
        check_devices(self.model_kwargs.get("device"))
        self._engine = load(self.model_name, max_tokens=self.max_tokens)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """The probability of each (query, text), from 0 to 1, in the order of the pairs."""
        return [float(one) for one in sigmoid(self._engine.score(text_pairs))]


class SecondpassRerank(BaseDocumentCompressor):
    """Reranks documents and keeps the score: `metadata["relevance_score"]`, a probability.

    The `top_n` best come back (all where None), those of at least `score_threshold` where there is
    one. They are copies that keep their ids; a document of which a part was not read says so in
    `metadata["truncated"]`.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: ModelField = DEFAULT_MODEL
    top_n: int | None = Field(default=3, ge=1)
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = None
    _engine: CrossEncoder = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Load the model."""
        self._engine = load(self.model, max_tokens=self.max_tokens)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents, best first, ties in the given order; none of none."""
        if not documents:
            return []
        lines = self._engine.rerank(query, [document.page_content for document in documents])
        least = self.score_threshold or 0.0
        reaching = [line for line in lines if line.probability >= least]
        return [
            _with_metadata(
                documents[line.index],
                {"relevance_score": line.probability}
                | ({"truncated": True} if line.truncated else {}),
            )
            for line in reaching[: self.top_n]
        ]

    def as_runnable(self) -> Runnable[dict[str, Any], list[Document]]:
        """The same as a step of a chain: takes {"query": ..., "documents": [...]}."""

        def rerank(given: dict[str, Any]) -> list[Document]:
            return self.compress_documents(given["documents"], given["query"])

        async def arerank(given: dict[str, Any]) -> list[Document]:
            return list(await self.acompress_documents(given["documents"], given["query"]))

        return RunnableLambda(rerank, afunc=arerank)


class SecondpassRetriever(BaseRetriever):
    """Searches with a Pipeline: first stage and reranker.

    A document's id is its passage's. Its metadata has what the passage knows of its place, and the
    scores `relevance_score` (the model's probability; without a reranker the first stage's score),
    `retrieval_score` (the first stage's) and `order_score` (what the answer is ordered by).
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    pipeline: Annotated[Pipeline, Unexamined]
    k: int = Field(default=10, ge=1)
    score_threshold: float | None = Field(default=None, ge=0, le=1)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        hits = self.pipeline.search(query, self._wanted(k), min_probability=self.score_threshold)
        return [_document_of_hit(hit) for hit in hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        hits = await self.pipeline.asearch(
            query, self._wanted(k), min_probability=self.score_threshold
        )
        return [_document_of_hit(hit) for hit in hits]

    def _wanted(self, k: int | None) -> int:
        return self.k if k is None else k


def _with_metadata(document: Document, more: Mapping[str, object]) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, **more}})


def _document_of_hit(hit: Hit) -> Document:
    scores = {"relevance_score": relevance_of(hit), **scores_of(hit)}
    return _with_metadata(document_of(hit.passage), scores)
