"""Small cross-encoders with random weights and real tokenizers, built by transformers from a seed.

They have every feature that tells the families apart, at a size that is built in a moment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

CORPUS = [
    "The giant panda is a bear species endemic to China.",
    "a cross-encoder reads the query and the passage together, and returns one score",
    "大熊猫是中国特有的一种熊科动物。地区生产总值增长5.2%、约4.4万亿元。",
    "Lorem ipsum dolor sit amet; 42 is the answer to everything! Why? Because.",
] * 3
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,  # larger than for training, so that texts get clearly different logits
    "num_labels": 1,
}
# name -> (family, what its config.json says besides)
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "bert": ("bert", {}),
    "bert-tanh-gelu": ("bert", {"hidden_act": "gelu_new"}),
    "bert-relu": ("bert", {"hidden_act": "relu", "layer_norm_eps": 1e-5}),
    "bert-untyped": ("bert", {}),
    "bert-silu": ("bert", {"hidden_act": "silu", "type_vocab_size": 1}),
    "roberta": ("roberta", {}),
    "xlm-roberta": ("xlm-roberta", {"hidden_act": "gelu"}),
}


def word_pieces(specials: list[str]) -> dict[str, int]:
    """The characters of CORPUS and its longer words; training would number them anew each time."""
    words = {word for text in CORPUS for word in re.findall(r"[a-z]+|[^a-z\s]", text.lower())}
    characters = sorted(set("".join(words)))
    pieces = [*specials, *characters, *(f"##{one}" for one in characters)]
    pieces += sorted(word for word in words if len(word) > 1)
    pieces += [f"[unused{at}]" for at in range(180 - len(pieces))]
    return {piece: at for at, piece in enumerate(pieces)}


def build_tokenizer(family: str):
    """A tokenizer of the family's kind, made from CORPUS: WordPiece, byte BPE or Unigram."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    if family == "bert":
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        tokenizer = Tokenizer(models.WordPiece(word_pieces(specials), unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()  # FlagEmbedding goes from ids to text and back
        tokenizer.add_special_tokens(specials)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        return tokenizer
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    if family == "roberta":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(CORPUS, trainer)
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        return tokenizer
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def build_checkpoint(variant: str, folder: Path, **changes: object) -> Path:
    """Write the variant to `folder`, its config with `changes`, as transformers would."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

    family, config = VARIANTS[variant]
    tokenizer = build_tokenizer(family)
    offset = 0 if family == "bert" else 2
    settings = {
        **SHAPE,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 64 + offset,
        "pad_token_id": 0 if family == "bert" else 1,
        "type_vocab_size": 2 if family == "bert" else 1,
        **config,
        **changes,
    }
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(family, **settings)
    ).eval()
    with torch.no_grad():  # biases and LayerNorm start at 0 and 1, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]" if family == "bert" else "<pad>",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"]
        if family == "bert" and variant not in ("bert-untyped", "bert-silu")
        else ["input_ids", "attention_mask"],
    )
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a variant, built once. Tests must not change what is in it.

    The environment of a host, most of which have no torch, is handed a "bert" that was built before.
    """
    ready = os.environ.get("SECONDPASS_TINY_CHECKPOINT")

    @cache
    def build(variant: str) -> Path:
        if ready and variant == "bert":
            return Path(ready)
        return build_checkpoint(variant, tmp_path_factory.mktemp("checkpoints") / variant)

    return build


@pytest.fixture
def own_checkpoint(checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a variant that the test may change; keywords change its config.json."""
    import shutil

    def copy(variant: str = "bert", **config: object) -> Path:
        folder = tmp_path / variant
        shutil.copytree(checkpoint(variant), folder)
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        return folder

    return copy
