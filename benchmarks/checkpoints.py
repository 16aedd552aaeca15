"""The shapes of the table of record, as checkpoints with weights from a fixed seed.

The weights are random, for speed does not depend on them; only `minilm-l6` takes an encoder that
was trained, where its folder is given. Tokenizers are real: WordPiece of that encoder, or the
bundled model's in the larger shapes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from secondpass.engine.checkpoint import encoder_shapes, head_shapes
from secondpass.engine.export import original_name
from secondpass.engine.locate import BUNDLED
from secondpass.engine.spec import ModelSpec

SEED = 20


def sized(hidden: int, layers: int, heads: int, vocabulary: int, positions: int) -> dict:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "hidden_act": "gelu",
        "num_labels": 1,
        "id2label": {"0": "relevance"},
    }


BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "layer_norm_eps": 1e-12,
}
XLM_R = {
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaForSequenceClassification"],
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
# config.json of each shape
SHAPES = {
    "minilm-l6": {
        **BERT,
        **sized(384, 6, 12, 30522, 512),
        "pad_token_id": 0,
        "type_vocab_size": 2,
    },
    "bge-reranker-base": {**XLM_R, **sized(768, 12, 12, 250002, 514)},
    "bge-reranker-v2-m3": {**XLM_R, **sized(1024, 24, 16, 250002, 8194)},
}
# What an XLM-R template puts around a pair; the ids are those of XLM-R itself.
XLM_R_TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ],
    "pair": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ],
    "special_tokens": {
        "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
        "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
    },
}


def checkpoint(name: str, cache: Path, encoder: Path | None = None) -> Path:
    """The folder of a shape, made when it is not there yet."""
    folder = cache / name
    if folder.is_dir():
        return folder
    half_done = cache / f".{name}.part"
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    config = SHAPES[name]
    (half_done / "config.json").write_text(json.dumps(config))
    trained = encoder if name == "minilm-l6" else None
    write_tokenizer(half_done, config, trained)
    spec = ModelSpec.read(half_done)
    weights = {
        original_name(one, spec.family): value for one, value in random_weights(spec).items()
    }
    if trained is not None:
        known = load_file(trained / "model.safetensors")
        weights |= {
            f"bert.{one}": value for one, value in known.items() if "position_ids" not in one
        }
    save_file(weights, half_done / "model.safetensors", metadata={"format": "pt"})
    half_done.rename(folder)
    return folder


def write_tokenizer(folder: Path, config: dict, encoder: Path | None) -> None:
    """tokenizer.json and its config; of XLM-R shapes with XLM-R's specials around the pair."""
    source = encoder or BUNDLED / "mini"
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer |= {"truncation": None, "padding": None}
    specials = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    specials |= {"pad_token": "[PAD]", "mask_token": "[MASK]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if encoder is None:
        specials = {"unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
        specials |= {"pad_token": "<pad>"}
    if encoder is None:  # the bundled tokenizer marks the sides of a pair, for a late join
        tokenizer["post_processor"] = XLM_R_TEMPLATE
    if config["model_type"] == "xlm-roberta":
        inputs.remove("token_type_ids")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    facts |= {"model_input_names": inputs, **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def random_weights(spec: ModelSpec) -> dict[str, np.ndarray]:
    """Normal weights of a size that keeps activations in range; LayerNorms of 1, biases small."""
    drawn = np.random.default_rng(SEED)
    shapes = encoder_shapes(spec) | head_shapes(spec)
    if spec.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (spec.token_types, spec.hidden)
    weights = {}
    for name, shape in shapes.items():
        spread = 0.02 if len(shape) == 1 else 1.2 / shape[1] ** 0.5
        values = drawn.standard_normal(shape, dtype=np.float32) * np.float32(spread)
        norm = "LayerNorm" in name and name.endswith("weight")
        weights[name] = values + np.float32(1) if norm else values
    return weights
