"""What is this model? The answer comes from the checkpoint's own files, never from its name.

config.json + tokenizer_config.json + secondpass.json (ours, optional) -> ModelSpec
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import ModelError

# model_type -> (prefix of the encoder's weights, first dense layer of the head, last layer of it)
FAMILIES = {
    "bert": ("bert.", "bert.pooler.dense", "classifier"),
    "late-join-bert": ("bert.", "bert.pooler.dense", "classifier"),
    "roberta": ("roberta.", "classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("roberta.", "classifier.dense", "classifier.out_proj"),
}
LATE_JOIN = "late-join-bert"
BERT = ("bert", LATE_JOIN)
# Channels of activations that an int8 engine computes in float32, by the linear layer that reads
# them, such as 'encoder.layer.0.attention.self' (query, key and value read the same).
Outliers = Mapping[str, Sequence[int]]
GELU_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
HIDDEN_ACTIVATIONS = ("gelu", *GELU_TANH, "quick_gelu", "relu", "silu", "swish")
FACTS = ("window_tokens", "first_stage_weight", "outliers", "query_prompt", "passage_prompt")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The shape of an encoder and the facts that its files state, those of a cross-encoder's head too.

    `max_tokens` bounds a whole row, specials included. `activation` is what the checkpoint names
    for turning a logit into a score: 'sigmoid' or 'identity'. `window_tokens` is the row length up
    to which the model is good and `first_stage_weight` the share of the first stage's z-score that
    a pipeline should add; both come from secondpass.json and have defaults where it is absent, and so
    do the `outliers` of engine.outliers, None where nobody has looked for them. `join_layer` is 0, or
    the number of lower layers that read query and passage apart; token types then mark the sides.
    """

    family: str
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    padding_id: int | None
    token_types: int
    hidden_activation: str
    eps: float
    max_tokens: int
    activation: str
    window_tokens: int
    first_stage_weight: float = 0.0
    outliers: Outliers | None = None
    join_layer: int = 0

    @classmethod
    def read(cls, folder: Path) -> ModelSpec:
        """The spec of the checkpoint in `folder`; raises ModelError that names the file at fault."""
        config = read_json(folder / "config.json")
        tokenizer = read_json(folder / "tokenizer_config.json", optional=True)
        facts = read_json(folder / "secondpass.json", optional=True)
        _check_supported(config, facts, folder)
        try:
            return _build(config, tokenizer, facts)
        except KeyError as error:
            raise ModelError(
                f"'{folder / 'config.json'}' has no {error}; expected the config.json of a "
                f"{config['model_type']} checkpoint; download the model again"
            ) from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"'{folder}' states a value of the wrong type in config.json, "
                f"tokenizer_config.json or secondpass.json ({error}); download the model again"
            ) from error


def _build(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], facts: Mapping[str, Any]
) -> ModelSpec:
    family = config["model_type"]
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if heads < 1 or hidden % heads:
        raise ValueError(f"hidden_size={hidden} cannot be shared by num_attention_heads={heads}")
    positions = int(config["max_position_embeddings"])
    # RoBERTa counts positions from the padding id on: the first two or so rows are never used
    padding_id = None if family in BERT else int(config.get("pad_token_id", 1))
    limit = tokenizer.get("model_max_length")
    usable = positions if padding_id is None else positions - padding_id - 1
    max_tokens = min(usable, int(limit)) if limit else usable
    join_layer = _join_layer(config)
    return ModelSpec(
        family=family,
        hidden=hidden,
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        intermediate=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        positions=positions,
        padding_id=padding_id,
        token_types=2 if join_layer else _token_types(config, tokenizer),
        hidden_activation=config.get("hidden_act", "gelu"),
        eps=float(config.get("layer_norm_eps", 1e-12)),
        max_tokens=max_tokens,
        activation=_activation(config),
        window_tokens=min(int(facts.get("window_tokens", max_tokens)), max_tokens),
        first_stage_weight=float(facts.get("first_stage_weight", 0.0)),
        outliers=_outliers(facts),
        join_layer=join_layer,
    )


def _join_layer(config: Mapping[str, Any]) -> int:
    family, layers = config["model_type"], int(config["num_hidden_layers"])
    join_layer = int(config.get("join_layer") or 0)
    if join_layer and family not in BERT:
        raise ModelError(
            f"config.json states join_layer={join_layer} for a model of type '{family}'; expected it "
            f"of {' or '.join(BERT)} only; choose another checkpoint"
        )
    if not 0 <= join_layer < layers or (family == LATE_JOIN and not join_layer):
        raise ModelError(
            f"config.json states join_layer={join_layer} and num_hidden_layers={layers} for a model "
            f"of type '{family}'; expected a layer between the first and the last at which query and "
            "passage meet; download the model again"
        )
    return join_layer


def _outliers(facts: Mapping[str, Any]) -> Outliers | None:
    stated = facts.get("outliers")
    if stated is None:
        return None
    return {str(name): tuple(map(int, channels)) for name, channels in stated.items()}


def _token_types(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """How many token types are in use: 1 where the tokenizer does not hand any to the model."""
    inputs = tokenizer.get("model_input_names")
    if inputs is not None and "token_type_ids" not in inputs:
        return 1
    return int(config.get("type_vocab_size", 2))


def _activation(config: Mapping[str, Any]) -> str:
    """The activation that the checkpoint names; sentence-transformers wrote it under two names."""
    newer = config.get("sentence_transformers") or {}
    named = newer.get("activation_fn") or config.get("sbert_ce_default_activation_function")
    activation = "sigmoid" if named is None else str(named).rsplit(".", 1)[-1].lower()
    if activation not in ("sigmoid", "identity"):
        raise ModelError(
            f"config.json names the activation '{named}'; expected Sigmoid or Identity of torch.nn; "
            "other activations would need code from the checkpoint, which is never run"
        )
    return activation


def _check_supported(config: Mapping[str, Any], facts: Mapping[str, Any], folder: Path) -> None:
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"'{folder}' is a model of type '{family}'; this backend reads "
            f"{', '.join(FAMILIES)}; choose a checkpoint of one of these types"
        )
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise ModelError(
            f"'{folder}' has position_embedding_type '{kind}'; only 'absolute' is supported"
        )
    if config.get("is_decoder"):
        raise ModelError(
            f"'{folder}' is a decoder (is_decoder in config.json); expected an encoder, whose tokens "
            "see the whole row; choose another checkpoint"
        )
    activation = config.get("hidden_act", "gelu")
    if activation not in HIDDEN_ACTIVATIONS:
        raise ModelError(
            f"'{folder}' has hidden_act '{activation}'; supported: {', '.join(HIDDEN_ACTIVATIONS)}"
        )
    if unknown := sorted(set(facts) - set(FACTS)):
        raise ModelError(
            f"'{folder / 'secondpass.json'}' states {', '.join(unknown)}, which this version does "
            f"not know (it knows {', '.join(FACTS)}); a newer secondpass may: update it"
        )


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint; {} for an optional one that is absent."""
    if optional and not path.exists():
        return {}
    content = load_json(path)
    if not isinstance(content, dict):
        raise ModelError(f"'{path}' holds no JSON object; download it again")
    return content


def load_json(path: Path) -> object:
    """What a JSON file of a checkpoint holds; raises ModelError where it cannot be read."""
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"'{path.parent}' has no {path.name}; expected the folder of a Hugging Face "
            "checkpoint (config.json, tokenizer.json, model.safetensors)"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"'{path}' cannot be read as JSON: {error}; download it again") from error
    return content
