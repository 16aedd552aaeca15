"""The small files that engines want beside a graph, made from those of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from secondpass.engine.spec import read_json

# What a tokenizer's specials are called in each family, where the checkpoint does not say.
KNOWN = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def with_special_tokens(folder: Path, max_tokens: int) -> Path:
    """`folder`, now with special_tokens_map.json and a tokenizer_config.json that names a limit."""
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    specials = {
        name: next(token for token in tokens if token in vocabulary)
        for name, tokens in KNOWN.items()
        if any(token in vocabulary for token in tokens)
    }
    config = read_json(folder / "tokenizer_config.json", optional=True)
    config = {**specials, **config, "model_max_length": max_tokens}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
