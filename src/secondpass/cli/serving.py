"""The commands that serve other programs: tools for agents."""

from __future__ import annotations

from secondpass import build
from secondpass.cli.options import (
    Backend,
    Blend,
    Budget,
    Depth,
    FirstStage,
    IndexFile,
    Model,
    Offline,
    Revision,
    Store,
)


def mcp(
    index_file: IndexFile = None,
    store: Store = None,
    first_stage: FirstStage = None,
    depth: Depth = None,
    model: Model = None,
    revision: Revision = None,
    offline: Offline = None,
    backend: Backend = None,
    blend: Blend = None,
    budget_ms: Budget = None,
) -> None:
    """Give an agent two tools, rerank and search.

    It speaks the Model Context Protocol over standard input and output until the agent hangs up. The
    index may be made later: it is opened at the first search.
    """
    chosen = build.settings(
        {
            "index": index_file,
            "store": store,
            "first_stage": first_stage,
            "depth": depth,
            "model": model,
            "revision": revision,
            "offline": offline,
            "backend": backend,
            "blend": blend,
            "budget_ms": budget_ms,
        }
    )
    with build.agent_server(chosen) as server:
        server.run("stdio")
