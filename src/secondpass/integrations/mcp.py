"""A guest for agents: two tools, rerank and search, over the Model Context Protocol.

Calls are answered in threads, so that a server goes on listening meanwhile.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput, SecondpassError
from secondpass.integrations.loading import host
from secondpass.pipeline import Pipeline
from secondpass.types import Hit, Ranked, Scalar

with host("agents", "mcp"):
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp_types import ToolAnnotations

INSTRUCTIONS = (
    "Tools that put the texts that answer a query on top. Use `rerank` for texts that you have, "
    "`search` for the user's indexed documents. `probability` says how likely a text answers the "
    "query: below 0.5 it most likely does not."
)
READS = {"read_only_hint": True, "idempotent_hint": True, "open_world_hint": False}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RankedText:
    """One text of an answer; `index` counts the given texts from 0."""

    index: int
    probability: float
    score: float
    text: str
    read_in_windows: int
    truncated: bool


@dataclass(frozen=True)
class RankedTexts:
    """The texts, best first; `below` counts those that a least probability dropped."""

    ranked: list[RankedText]
    below: int


@dataclass(frozen=True)
class FoundPassage:
    """One passage that was found, and where it stands."""

    text: str
    document: str
    probability: float | None
    score: float
    path: str | None
    page: int | None
    headings: list[str]
    start: int
    end: int
    metadata: dict[str, Scalar]


@dataclass(frozen=True)
class FoundPassages:
    """The passages, best first; `candidates` counts what the first stage found."""

    hits: list[FoundPassage]
    candidates: int
    below: int


@dataclass(slots=True)
class Opened:
    """The pipeline behind the search tool, opened when first needed, and only once."""

    open: Callable[[], Pipeline]
    pipeline: Pipeline | None = None
    lock: Lock = field(default_factory=Lock)

    def get(self) -> Pipeline:
        """The pipeline; an index that is not there yet is looked for again the next time."""
        with self.lock:
            if self.pipeline is None:
                self.pipeline = self.open()
            return self.pipeline


def agent_server(
    reranker: CrossEncoder, open_pipeline: Callable[[], Pipeline], *, version: str
) -> MCPServer[None]:
    """A server with both tools; `run("stdio")` serves one agent until it hangs up.

    `open_pipeline` is called at the first search. What secondpass raises on purpose reaches the
    agent as the tool's error, with its message.
    """
    server = MCPServer[None](
        "secondpass", instructions=INSTRUCTIONS, version=version, log_level="WARNING"
    )
    searched = Opened(open_pipeline)

    @server.tool(title="Rerank texts", annotations=ToolAnnotations(**READS))
    async def rerank(
        query: str, texts: list[str], top_k: int | None = None, min_probability: float = 0.0
    ) -> RankedTexts:
        """Put the texts that answer the query best on top.

        Long texts are read whole. Returns all texts, or the best `top_k` of those that have at
        least `min_probability` (0 to 1).
        """
        return await _told(lambda: reranked(reranker, query, texts, top_k, min_probability))

    @server.tool(title="Search documents", annotations=ToolAnnotations(**READS))
    async def search(query: str, top_k: int = 5, min_probability: float = 0.0) -> FoundPassages:
        """Find the passages of the user's indexed documents that answer the query.

        Returns at most `top_k` of those that have at least `min_probability` (0 to 1), best first,
        each with the document, page and headings where it stands.
        """
        return await _told(lambda: found(searched.get(), query, top_k, min_probability))

    return server


def reranked(
    reranker: CrossEncoder, query: str, texts: list[str], top_k: int | None, least: float
) -> RankedTexts:
    """The answer of the tool `rerank`."""
    if not 0 <= least <= 1:
        raise InvalidInput(f"min_probability={least}; expected a number from 0 to 1")
    lines = reranker.rerank(query, texts)
    if top_k is not None and top_k < 1:
        raise InvalidInput(f"top_k={top_k}; expected a whole number from 1, or none for all")
    kept = [line for line in lines if line.probability >= least]
    return RankedTexts([_text(line, texts) for line in kept[:top_k]], len(lines) - len(kept))


def found(pipeline: Pipeline, query: str, top_k: int, least: float) -> FoundPassages:
    """The answer of the tool `search`."""
    answer = pipeline.explain(query, top_k, min_probability=least)
    hits = [_passage(hit) for hit in answer.hits]
    return FoundPassages(hits, answer.candidates, answer.below_probability)


async def _told(answer: Callable[[], Answer]) -> Answer:
    try:
        return await to_thread(answer)
    except SecondpassError as error:
        raise ToolError(str(error)) from error


def _text(line: Ranked, texts: list[str]) -> RankedText:
    return RankedText(
        index=line.index,
        probability=line.probability,
        score=line.score,
        text=texts[line.index],
        read_in_windows=line.windows,
        truncated=line.truncated,
    )


def _passage(hit: Hit) -> FoundPassage:
    passage = hit.passage
    return FoundPassage(
        text=hit.text,
        document=hit.document,
        probability=hit.probability,
        score=hit.score,
        path=passage.path,
        page=passage.page,
        headings=list(passage.headings),
        start=passage.start,
        end=passage.end,
        metadata=dict(passage.metadata),
    )
