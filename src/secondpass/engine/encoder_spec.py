"""How does this model make a vector of a text? The answer comes from its sentence-transformers files.

modules.json, pooling, sentence_bert_config.json, prompts + what the caller says -> EncoderSpec
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from secondpass.engine.spec import ModelSpec, load_json, read_json
from secondpass.errors import InvalidInput, ModelError

Pooling = Literal["cls", "mean"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
LEAST_TOKENS = 8
# sentence-transformers of before 6 writes a flag for each kind of pooling
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# The names under which sentence-transformers looks for a side's prompt, in its order.
QUERY_NAMES = ("query",)
PASSAGE_NAMES = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a caller may say about encoding; None takes what the model's files state.

    `pooling` ('cls' or 'mean') and `normalise` (to length 1; yes, where nothing is said) are for a
    folder without modules.json: they may not contradict one that is there. The prompts are put
    before every text as they are. A text longer than `max_tokens` is cut, and that is said.
    `batch_tokens` bounds the memory of a forward pass; vectors do not depend on it.
    """

    pooling: Pooling | None = None
    normalise: bool | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    max_tokens: int | None = None
    batch_tokens: int = 8192

    def __post_init__(self) -> None:
        if self.pooling not in (None, *POOLINGS):
            raise InvalidInput(
                f"pooling='{self.pooling}' is not supported; choose from {', '.join(POOLINGS)}"
            )
        if self.batch_tokens < 1:
            raise InvalidInput(
                f"batch_tokens={self.batch_tokens} leaves no room for a batch; pass 1 or more"
            )


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What is done to a text before the model and to its states behind it.

    `max_tokens` bounds a row, specials and prompt included; `normalised` vectors have length 1;
    `lower_case` says that the text is lowered whatever the tokenizer does.
    """

    pooling: Pooling
    normalised: bool
    query_prompt: str
    passage_prompt: str
    max_tokens: int
    lower_case: bool

    @classmethod
    def read(cls, folder: Path, model: ModelSpec, encoding: Encoding) -> EncoderSpec:
        """The spec of the checkpoint in `folder`, with what the caller says about it.

        Raises ModelError for what its files ask for and this engine does not do, InvalidInput for
        a caller's word that is missing, contradicts the files or is beyond the model.
        """
        pooling, normalised = read_pooling(folder, encoding)
        query, passage = read_prompts(folder)
        sentence = read_json(folder / "sentence_bert_config.json", optional=True)
        task = sentence.get("transformer_task", "feature-extraction")
        if task != "feature-extraction":
            raise ModelError(
                f"'{folder}' asks for the task '{task}' in sentence_bert_config.json; expected "
                "'feature-extraction'; choose a bi-encoder that gives one vector a text"
            )
        return cls(
            pooling=pooling,
            normalised=normalised,
            query_prompt=query if encoding.query_prompt is None else encoding.query_prompt,
            passage_prompt=passage if encoding.passage_prompt is None else encoding.passage_prompt,
            max_tokens=_max_tokens(folder, sentence, model, encoding),
            lower_case=bool(sentence.get("do_lower_case", False)),
        )


def read_pooling(folder: Path, encoding: Encoding) -> tuple[Pooling, bool]:
    """The pooling that a checkpoint states, or else the caller, and whether it normalises."""
    if not (folder / "modules.json").is_file():
        if encoding.pooling is None:
            raise InvalidInput(
                f"'{folder}' does not say how the states of its tokens become a vector (it has no "
                "modules.json); expected a word of its author's: pass Encoding(pooling='mean') or "
                "Encoding(pooling='cls')"
            )
        return encoding.pooling, encoding.normalise is not False
    stated, normalised = _modules(folder)
    for name, said, files in (
        ("pooling", encoding.pooling, stated),
        ("normalise", encoding.normalise, normalised),
    ):
        if said not in (None, files):
            raise InvalidInput(
                f"{name}={said!r} contradicts the model's modules.json, which asks for {files!r}; "
                "leave it out"
            )
    return stated, normalised


def _modules(folder: Path) -> tuple[Pooling, bool]:
    listed = load_json(folder / "modules.json")
    if not isinstance(listed, list) or not all(
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and isinstance(entry.get("path"), str)
        for entry in listed
    ):
        raise ModelError(
            f"'{folder / 'modules.json'}' is no list of modules with type and path; download it again"
        )
    kinds = [entry["type"].rsplit(".", 1)[-1] for entry in listed]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise ModelError(
            f"'{folder}' is made of the modules {', '.join(kinds) or 'none'}; supported are "
            "Transformer, Pooling and Normalize, in this order; choose another bi-encoder"
        )
    if listed[0]["path"]:
        raise ModelError(
            f"'{folder}' keeps its transformer in the folder '{listed[0]['path']}'; expected it "
            "beside modules.json; save the model anew with a recent sentence-transformers"
        )
    path = folder / listed[1]["path"] / "config.json"
    return _stated_pooling(path, read_json(path)), len(kinds) == 3


def _stated_pooling(path: Path, config: Mapping[str, Any]) -> Pooling:
    stated = config.get("pooling_mode")
    if stated is None:
        stated = [kind for flag, kind in POOLING_FLAGS.items() if config.get(flag)]
    kinds = stated if isinstance(stated, list) else [stated]
    for pooling in POOLINGS:
        if kinds == [pooling] and config.get("include_prompt", True):
            return pooling
    asked = ", ".join(map(str, kinds)) or "none"
    left_out = "" if config.get("include_prompt", True) else ", without the tokens of the prompt"
    raise ModelError(
        f"'{path}' asks for the pooling {asked}{left_out}; supported are {' or '.join(POOLINGS)} of "
        "all tokens; choose another bi-encoder"
    )


def read_prompts(folder: Path) -> tuple[str, str]:
    """The prompts of queries and of passages that the files state; secondpass.json goes first."""
    ours = read_json(folder / "secondpass.json", optional=True)
    path = folder / "config_sentence_transformers.json"
    config = read_json(path, optional=True)
    theirs, default = config.get("prompts") or {}, config.get("default_prompt_name")
    sides = (("query_prompt", QUERY_NAMES), ("passage_prompt", PASSAGE_NAMES))
    if not isinstance(theirs, dict) or (default is not None and default not in theirs):
        raise ModelError(
            f"'{path}' states prompts that do not fit together (default_prompt_name is "
            f"'{default}'); expected the name of one of its prompts; download it again"
        )
    query, passage = (
        ours.get(fact, theirs.get(_first(names, theirs, default), "")) for fact, names in sides
    )
    if not isinstance(query, str) or not isinstance(passage, str):
        raise ModelError(f"'{folder}' states a prompt that is no text; expected a string")
    return query, passage


def _first(names: tuple[str, ...], prompts: Mapping[str, Any], default: str | None) -> str | None:
    return next((name for name in names if name in prompts), default)


def _max_tokens(
    folder: Path, sentence: Mapping[str, Any], model: ModelSpec, encoding: Encoding
) -> int:
    if encoding.max_tokens is not None:
        if not LEAST_TOKENS <= encoding.max_tokens <= model.max_tokens:
            raise InvalidInput(
                f"max_tokens={encoding.max_tokens} is not between {LEAST_TOKENS} and the model's "
                f"limit of {model.max_tokens}; pass such a number, or leave it out"
            )
        return encoding.max_tokens
    stated = sentence.get("max_seq_length")
    if stated is None:
        return model.max_tokens
    if not isinstance(stated, int) or stated < LEAST_TOKENS:
        raise ModelError(
            f"'{folder / 'sentence_bert_config.json'}' has max_seq_length {stated!r}; expected a "
            f"whole number from {LEAST_TOKENS}; download it again"
        )
    return min(stated, model.max_tokens)
