"""Guests in LlamaIndex: a node postprocessor that reranks, and a retriever over a Pipeline.

Scores are Python floats, the nodes that come in stay what they are, and the async twins work in a
thread beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput
from secondpass.integrations.fields import ModelField
from secondpass.integrations.loading import check_devices, host, load
from secondpass.integrations.passages import place_of, relevance_of, scores_of
from secondpass.pipeline import Pipeline
from secondpass.types import Hit, Ranked

with host("LlamaIndex", "llama-index"):
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import (
        BaseNode,
        MetadataMode,
        NodeRelationship,
        NodeWithScore,
        QueryBundle,
        RelatedNodeInfo,
        TextNode,
    )

DEFAULT_MODEL = "mini"
RETRIEVAL_SCORE = "retrieval_score"

dispatcher = get_dispatcher(__name__)


class SecondpassRerank(BaseNodePostprocessor):
    """Reranks nodes; takes the place of `SentenceTransformerRerank`.

    A node's score becomes the model's probability; the `top_n` best come back (all where None),
    those of at least `score_threshold` where there is one. They are copies. With
    `keep_retrieval_score` the score that came in stays in `metadata["retrieval_score"]`, which
    neither a language model nor an embedding gets to read. The model reads what `metadata_mode`
    shows of a node.
    """

    model: ModelField = Field(default=DEFAULT_MODEL, description="Name, folder or CrossEncoder.")
    top_n: int | None = Field(default=2, ge=1, description="How many nodes come back.")
    device: str | None = Field(default=None, description="The CPU, or None.")
    keep_retrieval_score: bool = Field(default=True, description="Whether metadata keep it.")
    score_threshold: float | None = Field(default=None, ge=0, le=1, description="In 0..1.")
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="What the model reads of a node."
    )
    max_tokens: int | None = Field(default=None, description="Longest input; the model's if None.")
    _engine: CrossEncoder = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Load the model."""
        super().model_post_init(context)
        check_devices(self.device)
        self._engine = load(self.model, max_tokens=self.max_tokens)

    @classmethod
    def class_name(cls) -> str:
        """The name that is written down with the fields."""
        return "SecondpassRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidInput(
                "there is no query to rerank for; expected one; pass query_str or query_bundle"
            )
        if not nodes:
            return []
        query = query_bundle.query_str
        top_n = len(nodes) if self.top_n is None else self.top_n
        name = str(self.model) if isinstance(self.model, str | Path) else "secondpass"
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            texts = [one.node.get_content(metadata_mode=self.metadata_mode) for one in nodes]
            least = self.score_threshold or 0.0
            lines = [one for one in self._engine.rerank(query, texts) if one.probability >= least]
            ranked = [self._scored(nodes[line.index], line) for line in lines[:top_n]]
            event.on_end(payload={EventPayload.NODES: ranked})
        dispatcher.event(ReRankEndEvent(nodes=ranked))
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)

    def _scored(self, given: NodeWithScore, line: Ranked) -> NodeWithScore:
        node = given.node
        if self.keep_retrieval_score:
            score = None if given.score is None else float(given.score)
            node = _with_unread(node, {RETRIEVAL_SCORE: score})
        return NodeWithScore(node=node, score=line.probability)


class SecondpassRetriever(BaseRetriever):
    """Searches with a Pipeline: first stage and reranker.

    A node's score is the model's probability; without a reranker the first stage's score. Its
    metadata has what the passage knows of its place, and the scores `retrieval_score` (the first
    stage's) and `order_score` (what the answer is ordered by), which no model gets to read.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        similarity_top_k: int = 10,
        score_threshold: float | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.similarity_top_k = similarity_top_k
        self.score_threshold = score_threshold
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.pipeline.search(
            query_bundle.query_str, self.similarity_top_k, min_probability=self.score_threshold
        )
        return _nodes_of(hits)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self.pipeline.asearch(
            query_bundle.query_str, self.similarity_top_k, min_probability=self.score_threshold
        )
        return _nodes_of(hits)


def _nodes_of(hits: Sequence[Hit]) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=_with_unread(_node_of(hit), scores_of(hit)), score=relevance_of(hit))
        for hit in hits
    ]


def _node_of(hit: Hit) -> TextNode:
    passage = hit.passage
    node = TextNode(id_=passage.id, text=passage.text, metadata=place_of(passage))
    node.relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.document)}
    if passage.end:
        node.start_char_idx, node.end_char_idx = passage.start, passage.end
    return node


def _with_unread(node: BaseNode, more: dict[str, float | None] | dict[str, float]) -> BaseNode:
    """A copy of a node with further metadata, kept from language models and embeddings."""
    return node.model_copy(
        update={
            "metadata": {**node.metadata, **more},
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *more],
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *more],
        }
    )
