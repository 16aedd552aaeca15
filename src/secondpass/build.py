"""The composition root: settings in, finished parts out. Nothing else reads the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import InvalidInput, SecondpassError
from secondpass.settings import FILE, PREFIX, Settings

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from secondpass.endpoints import Chat
    from secondpass.engine import CrossEncoder
    from secondpass.evaluation import Engine, Setup
    from secondpass.ingest import Failure, Skip
    from secondpass.pipeline import Pipeline
    from secondpass.protocols import Encoder, Expander, Reranker, Retriever
    from secondpass.retrieval import Index
    from secondpass.retrieval.migrate import Migration
    from secondpass.types import Filter, Finding, Passage

NO_LLM = (
    "no language model is named; expected the address of an OpenAI-compatible endpoint; pass --llm "
    f"http://localhost:8000/v1, say, or set {PREFIX}LLM, and the key, if it needs one, as "
    f"{PREFIX}LLM_KEY in the environment"
)
OPENAI = "https://api.openai.com/"
KEYS = ("LLM_KEY", "ENCODER_KEY")  # secrets: of the environment alone, and no settings


def settings(flags: Mapping[str, Any]) -> Settings:
    """Settings from these flags, the environment, and secondpass.toml or $SECONDPASS_CONFIG."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named is not None and not Path(named).is_file():
        raise InvalidInput(f"{PREFIX}CONFIG names '{named}', which is no file; correct or unset it")
    file = Path(named or FILE)
    return Settings.read(flags, os.environ, file if file.is_file() else None)


def unknown_variables() -> list[str]:
    """The variables of the environment that look like settings and are none."""
    known = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
    known |= {f"{PREFIX}{name}" for name in ("CONFIG", *KEYS)}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def examined(chosen: Settings) -> list[Finding]:
    """What is found in the files of the cross-encoder that the settings name."""
    from secondpass.engine.examine import examine
    from secondpass.engine.locate import locate
    from secondpass.types import Finding

    try:
        folder = locate(chosen.model, revision=chosen.revision, offline=chosen.offline)
    except SecondpassError as error:
        found, _, advice = str(error).rpartition("; ")
        return [Finding("files", found, advice, amiss=True)]
    return examine(folder)


def reranker(chosen: Settings) -> CrossEncoder:
    """The cross-encoder that the settings name."""
    from secondpass.engine import Compute, CrossEncoder, Limits

    return CrossEncoder.load(
        chosen.model,
        backend=chosen.backend,
        revision=chosen.revision,
        offline=chosen.offline,
        limits=Limits(
            max_tokens=chosen.max_tokens,
            window_tokens=chosen.window_tokens,
            long_texts=chosen.long_texts,  # type: ignore[arg-type]  # checked by Limits
            batch_tokens=chosen.batch_tokens,
        ),
        compute=Compute(chosen.precision, chosen.threads, chosen.instruction_set),
    )


def index(chosen: Settings, *, create: bool = False) -> Index:
    """The index that the settings name; StoreError where there is none, unless `create`.

    With `create` it is to be added to, with the encoder that the settings name. Without, the encoder
    is the one that it has recorded.
    """
    from secondpass.library import Index

    return Index.open(
        chosen.index,
        create=create,
        encoder=chosen.encoder if create else None,
        load_encoder=partial(_encoder, chosen),
        store=chosen.store,
    )


def migrate(
    source: tuple[str, str],
    target: tuple[str, str],
    *,
    on_progress: Callable[[Migration], None],
) -> Migration:
    """Copy one index into another; each is the name of a store and a path in it."""
    from secondpass.retrieval.migrate import migrate as copy
    from secondpass.retrieval.stores.table import open_store

    with ExitStack() as stack:
        opened = stack.enter_context(closing(open_store(*source, create=False)))
        made = stack.enter_context(closing(open_store(*target)))
        return copy(opened, made, on_progress)


def _encoder(chosen: Settings, name: str) -> Encoder:
    from secondpass.engine.encoders import Endpoint, load_encoder

    url = chosen.encoder_url or f"{OPENAI}v1"
    there = Endpoint(url=url, key=_key("ENCODER_KEY", url))
    return load_encoder(name, offline=chosen.offline, endpoint=there)


def _key(name: str, url: str) -> str | None:
    """A secret of the environment; OPENAI_API_KEY where OpenAI itself is asked, and nobody else."""
    key = os.environ.get(f"{PREFIX}{name}")
    if key is None and url.startswith(OPENAI):
        key = os.environ.get("OPENAI_API_KEY")
    return key or None


def pipeline(
    chosen: Settings,
    opened: Index,
    *,
    rerank: bool = True,
    where: Filter | None = None,
    also: Sequence[str] = (),
    loaded: CrossEncoder | None = None,
) -> Pipeline:
    """First stage and reranker, which may be loaded already; the first stage alone without `rerank`.

    `also` are further queries to ask; without them the settings say whether there are some.
    """
    from secondpass.pipeline import Pipeline

    retriever = opened.retriever(where, first_stage=chosen.first_stage)
    expander = _expander(chosen, retriever, also)
    if expander is not None:
        from secondpass.expansion import ExpandedRetriever

        retriever = ExpandedRetriever(retriever, expander)
    return Pipeline(
        retriever,
        _deduplicated(chosen, loaded or reranker(chosen)) if rerank else None,
        depth=chosen.depth,
        blend=chosen.blend,
        budget_ms=chosen.budget_ms if rerank else None,
    )


def _deduplicated(chosen: Settings, ranking: CrossEncoder) -> Reranker:
    if chosen.near_duplicates is None:
        return ranking
    from secondpass.duplicates import Deduplicated

    return Deduplicated(ranking, chosen.near_duplicates)


def _expander(chosen: Settings, retriever: Retriever, also: Sequence[str]) -> Expander | None:
    """What finds further queries: those given, a language model, or the first answers' words."""
    if chosen.expand < 0:
        raise InvalidInput(f"expand={chosen.expand}; expected 0 for none, or a number of queries")
    if not also and not chosen.expand:
        return None
    from secondpass.expansion import ChatExpander, FeedbackExpander, GivenQueries

    if also:
        return GivenQueries(also)
    if chosen.llm is not None:
        return ChatExpander(chat(chosen), chosen.expand)
    from secondpass.retrieval.words import terms

    return FeedbackExpander(retriever, terms, chosen.expand)


def chat(chosen: Settings) -> Chat:
    """The language model that the settings name; InvalidInput where they name none.

    Its key comes from the environment alone: SECONDPASS_LLM_KEY, or OPENAI_API_KEY where OpenAI
    itself is asked, so that no other server is handed it.
    """
    from secondpass.endpoints import Chat

    if chosen.llm is None:
        raise InvalidInput(NO_LLM)
    if chosen.offline:
        raise InvalidInput(
            f"llm='{chosen.llm}' is asked over the network, but offline was asked for; leave one of "
            "them out"
        )
    key = _key("LLM_KEY", chosen.llm)
    return Chat.open(chosen.llm, model=chosen.llm_model, key=key, timeout_s=chosen.llm_timeout_s)


@contextmanager
def agent_server(chosen: Settings) -> Iterator[MCPServer[None]]:
    """The tools of `secondpass mcp`: the model is loaded at once, the index at the first search."""
    from importlib.metadata import version

    from secondpass.integrations.mcp import agent_server as serve

    with ExitStack() as stack:
        loaded = stack.enter_context(reranker(chosen))

        def open_pipeline() -> Pipeline:
            opened = index(chosen)
            stack.callback(opened.close)
            return pipeline(chosen, opened, loaded=loaded)

        yield serve(loaded, open_pipeline, version=version("secondpass"))


def passages(
    chosen: Settings,
    paths: Sequence[str],
    *,
    pattern: str,
    on_failure: Callable[[Failure], None],
    on_skip: Callable[[Skip], None],
) -> Iterator[Passage]:
    """The passages of all documents under these paths, as the settings want them split."""
    from secondpass.ingest import Splitting, load, split

    splitting = Splitting(
        by=chosen.split_by,
        size=chosen.passage_size,
        overlap=chosen.passage_overlap,
        unit=chosen.passage_unit,
    )
    documents = load(
        paths,
        pattern=pattern,
        max_file_mb=chosen.max_file_mb,
        on_failure=on_failure,
        on_skip=on_skip,
    )
    return split(documents, splitting)


def export(chosen: Settings, out: Path, *, precision: str) -> Path:
    """The new folder `out` with the model that the settings name, in another precision."""
    from secondpass.engine.export import export as write
    from secondpass.engine.locate import locate

    folder = locate(chosen.model, revision=chosen.revision, offline=chosen.offline)
    return write(folder, out, precision=precision)


def speed_setup(chosen: Settings, cache: Path) -> Setup:
    """What all engines of a measurement share; a plain copy of the model comes into `cache`."""
    from secondpass.engine import ModelSpec
    from secondpass.engine.cores import usable_cores
    from secondpass.engine.locate import locate
    from secondpass.evaluation import Setup
    from secondpass.evaluation.plain import plain_checkpoint

    folder = locate(chosen.model, revision=chosen.revision, offline=chosen.offline).resolve()
    return Setup(
        model=folder,
        plain=plain_checkpoint(folder, cache).resolve(),
        threads=chosen.threads or usable_cores(),
        max_tokens=min(chosen.max_tokens or 512, ModelSpec.read(folder).max_tokens),
        cache=cache.resolve(),
    )


def engines(names: Sequence[str], environments: Path | None = None) -> list[Engine]:
    """These engines, each in the virtual environment of its name in a folder, or in this one."""
    from secondpass.evaluation import Engine
    from secondpass.evaluation.processes import homes

    found = homes(names, dict(os.environ), environments)
    return [Engine(name, found[name]) for name in names]
