"""Guests in DB-GPT: a ranker for its EmbeddingRetriever, and embeddings for its stores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from secondpass.engine.cross_encoder import DEFAULT_MODEL, CrossEncoder
from secondpass.engine.encoders import load_encoder
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import check_devices, host, load
from secondpass.library import DEFAULT_ENCODER
from secondpass.protocols import Encoder

with host("DB-GPT", "dbgpt"):
    from dbgpt.core import Chunk, Embeddings
    from dbgpt.rag.retriever.rerank import Ranker


class SecondpassRanker(Ranker):  # type: ignore[misc,unused-ignore]
    """A ranker whose chunks are copies, with the model's probability as their score.

    Takes what DB-GPT's CrossEncoderRanker takes. Of chunks with the same text only the one that the
    store gave the highest score comes back, and one with a probability below `score_threshold` does
    not. A single candidate is scored too. Only `retrieve_with_scores` and `aretrieve_with_scores` of
    an EmbeddingRetriever rank at all. Raises what `CrossEncoder.load` raises, and InvalidInput for
    topk < 1 and for a device that is not the CPU.
    """

    def __init__(
        self,
        topk: int = 4,
        model: str | Path | CrossEncoder = DEFAULT_MODEL,
        device: str = "cpu",
        *,
        score_threshold: float | None = None,
        max_tokens: int | None = None,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        if not isinstance(topk, int) or topk < 1:
            raise InvalidInput(f"topk={topk!r}; expected a whole number from 1")
        check_devices(device)
        super().__init__(topk)
        self.model = load(model, max_tokens=max_tokens, revision=revision, offline=offline)
        self.score_threshold = score_threshold

    def rank(self, candidates_with_scores: list[Chunk], query: str | None = None) -> list[Chunk]:
        """The `topk` chunks that answer the query best, best first; ties keep the given order.

        DB-GPT's own `arank` runs this beside the event loop. Raises InvalidInput where there are
        candidates and the query is blank: nothing could be scored.
        """
        if not candidates_with_scores:
            return []
        if query is None:
            raise InvalidInput("the query is None; expected a question: a ranker scores against it")
        chunks = distinct(candidates_with_scores)
        ranked = self.model.rerank(query, [chunk.content or "" for chunk in chunks], self.topk)
        least = self.score_threshold
        return [
            rescored(chunks[line.index], line.probability)
            for line in ranked
            if least is None or line.probability >= least
        ]


class SecondpassEmbeddings(Embeddings):  # type: ignore[misc,unused-ignore]
    """Embeddings of one of secondpass's encoders: by name, by itself the bundled one, or loaded.

    Raises what `load_encoder` raises.
    """

    def __init__(
        self,
        model_name: str | Encoder = DEFAULT_ENCODER,
        *,
        revision: str | None = None,
        offline: bool = False,
    ) -> None:
        if isinstance(model_name, str):
            self.encoder: Encoder = load_encoder(model_name, revision=revision, offline=offline)
        else:
            self.encoder = model_name
        self.model_name = model_name

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector a text, in their order."""
        vectors: list[list[float]] = self.encoder.encode_passages(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        (vector,) = self.encoder.encode_queries([text]).tolist()
        return list(vector)


def distinct(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Of the chunks with one text that with the highest score, where the first of them stood."""
    best: dict[str, Chunk] = {}
    for chunk in chunks:
        text = chunk.content or ""
        if text not in best or chunk.score > best[text].score:
            best[text] = chunk
    return list(best.values())


def rescored(chunk: Chunk, score: float) -> Chunk:
    """A copy of the chunk with this score, whose metadata is its own."""
    return chunk.model_copy(update={"score": score, "metadata": dict(chunk.metadata or {})})
