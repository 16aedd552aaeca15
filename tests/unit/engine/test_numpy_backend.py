"""The numpy backend against transformers, which computes the same models with padding."""

from __future__ import annotations

import numpy as np
import pytest

from checkpoints import VARIANTS
from secondpass.engine import Compute, CrossEncoder
from secondpass.engine.backends.numpy import equal_length_packs
from secondpass.engine.backends.table import BACKENDS
from secondpass.engine.batching import Row, pack
from secondpass.errors import EngineError

PAIRS = [
    ("what is a panda?", "The giant panda is a bear species endemic to China."),
    ("大熊猫是什么？", "大熊猫是中国特有的一种熊科动物。"),
    ("why?", ""),
    ("the answer", "Because. 42 is the answer to everything!"),
    ("the answer", "a cross-encoder returns one score"),
    ("what is a panda?", "Lorem ipsum dolor sit amet"),
]


def transformers_logits(folder, pairs):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(
        [query for query, _ in pairs],
        [text for _, text in pairs],
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        return model(**inputs).logits[:, 0].numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_those_of_transformers(variant, checkpoint):
    folder = checkpoint(variant)
    expected = transformers_logits(folder, PAIRS)

    logits = CrossEncoder.load(folder, backend="numpy").score(PAIRS)

    assert logits.dtype == np.float32
    assert np.ptp(expected) > 0.1  # else the comparison would say nothing
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["roberta", "xlm-roberta"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_padding_token_that_a_text_spells_out_does_not_count(backend, variant, checkpoint):
    pairs = [("a panda?", "hi <pad> there <pad><pad> panda")]
    expected = transformers_logits(checkpoint(variant), pairs)

    exact = Compute(precision="fp32")
    logits = CrossEncoder.load(checkpoint(variant), backend=backend, compute=exact).score(pairs)

    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_files_are_widened(dtype, checkpoint, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint("bert")
    model = AutoModelForSequenceClassification.from_pretrained(folder).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    model.float().save_pretrained(tmp_path / "wide")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "wide")

    logits = CrossEncoder.load(tmp_path, backend="numpy").score(PAIRS)

    expected = transformers_logits(tmp_path / "wide", PAIRS)
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


def test_shards_are_read_like_one_file(checkpoint, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint("roberta")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1

    np.testing.assert_array_equal(
        CrossEncoder.load(tmp_path).score(PAIRS), CrossEncoder.load(folder).score(PAIRS)
    )


def test_packs_hold_every_row_once_and_only_equal_lengths():
    rows = [
        Row(np.full(n, at, np.int32), np.zeros(n, np.int32)) for at, n in enumerate([3, 1, 3, 2])
    ]

    packs = list(equal_length_packs(pack(rows)))

    assert sorted(int(row) for numbers, _, _ in packs for row in numbers) == [0, 1, 2, 3]
    for numbers, ids, types in packs:
        assert ids.shape == types.shape
        assert [len(rows[row].ids) for row in numbers] == [ids.shape[1]] * len(numbers)
        assert (ids == numbers[:, None]).all()


def test_a_closed_model_says_so(checkpoint):
    with CrossEncoder.load(checkpoint("bert")) as model:
        model.close()
        with pytest.raises(EngineError, match="closed"):
            model.rerank("panda", ["bear"])
