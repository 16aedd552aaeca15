"""Every setting there is, with its default, and where its value comes from.

flag > environment (SECONDPASS_MODEL, ...) > file (secondpass.toml) > default
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from secondpass.errors import InvalidInput, UnknownName

PREFIX = "SECONDPASS_"
FILE = "secondpass.toml"
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may choose. Above `build` this is all that is known of the environment."""

    index: str = "secondpass.index"  # file of the index
    store: str = "sqlite"  # what holds the index: a name of retrieval.stores
    encoder: str | None = None  # of a new index: a name; None: 'static'; 'none': no vectors
    encoder_url: str | None = None  # of an 'openai:' encoder, the part before /embeddings
    first_stage: str | None = (
        None  # 'lexical', 'dense', 'hybrid'; None: hybrid where it has vectors
    )
    model: str = "mini"  # bundled name, folder or hub name of the cross-encoder
    revision: str | None = None  # branch, tag or commit of a hub model
    offline: bool = False  # never touch the network, not even for a hub name
    backend: str = "auto"  # what computes: a name of engine.backends
    precision: str = "auto"  # 'fp32', 'int8', or 'auto': int8 in the native backend
    threads: int | None = None  # of the native backend; None: the cores that this process may use
    instruction_set: str = "auto"  # of the native backend; a lower one than the best, for comparing
    max_tokens: int | None = None  # longest row for the model; None: the model's own limit
    window_tokens: int | None = None  # row length that long texts are cut for; None: the model's
    long_texts: str = "windows"  # 'windows' scores all of a long text, 'truncate' its beginning
    batch_tokens: int = 8192  # bounds the memory of a forward pass
    depth: int = 50  # candidates that go into the reranker
    top_k: int = 5  # hits that come out
    blend: float | None = None  # weight of the first stage's z-score; None: what the model states
    min_score: float | None = None  # candidates below this first-stage score are dropped
    min_probability: float | None = None  # hits that the model gives less are dropped
    budget_ms: float | None = None  # time for the reranker; None: as long as it takes
    near_duplicates: float | None = None  # overlap from which passages share a score; None: never
    expand: int = 0  # further queries beside the one asked; 0: none
    llm: str | None = None  # address of a chat endpoint, the part before /chat/completions
    llm_model: str | None = None  # the model to ask there; None: the endpoint's own
    llm_timeout_s: float = 60  # how long to wait for the endpoint to say something
    split_by: str = "auto"  # how documents become passages: a strategy of ingest.split
    passage_size: int = 200  # largest passage, in passage_unit
    passage_overlap: int = 0  # what neighbouring passages share, in passage_unit
    passage_unit: str = "tokens"  # 'tokens' or 'chars'
    max_file_mb: float = 100  # larger files are refused

    @classmethod
    def read(
        cls,
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        file: Path | None = None,
    ) -> Settings:
        """Settings from these sources; a flag that is None was not given.

        Raises UnknownName for a name that is no setting, and InvalidInput for a value of the
        wrong type, naming where it came from.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for name, value in _from_file(file).items():
            if name not in known:
                raise UnknownName(f"setting in '{file}'", name, known)
            values[name] = _convert(name, value, f"'{file}'")
        for name in known:
            text = environment.get(PREFIX + name.upper())
            if text is not None:
                values[name] = _convert(name, text, f"the environment ({PREFIX}{name.upper()})")
        values.update((name, value) for name, value in flags.items() if value is not None)
        if unknown := set(values) - known:
            raise UnknownName("setting", sorted(unknown)[0], known)
        return cls(**values)


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(
            f"'{file}' cannot be read as settings: {error}; expected TOML like `top_k = 10`"
        ) from error


def _convert(name: str, value: object, source: str) -> object:
    """`value` as the type of setting `name`; texts are parsed, since the environment has no types."""
    hint = get_type_hints(Settings)[name]
    kind = next(part for part in (get_args(hint) or (hint,)) if part is not type(None))
    error = InvalidInput(
        f"{name}={value!r} in {source} is no {kind.__name__}; expected a value like "
        f"{getattr(Settings(), name)!r}; correct it there"
    )
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in TRUE + FALSE:
            return str(value).lower() in TRUE
        raise error
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise error
    try:
        converted: object = kind(value)
    except (ValueError, OverflowError) as cause:
        raise error from cause
    if isinstance(value, float) and converted != value and kind is not str:
        raise error  # 5.7 is no whole number, and cutting it would be silent
    return converted
