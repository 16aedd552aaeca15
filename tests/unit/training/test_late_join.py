"""A late join in the trainer: the logits of the engine and of the oracle, and a run from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from late_join import pair_logits
from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.training import late_join as ours
from secondpass.training.run import train
from secondpass.training.start import prepare_start

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = [
    ("what do pandas eat?", "Pandas eat bamboo."),
    ("what do pandas eat?", "The office opens at nine on weekdays, and closes at five."),
    ("opening hours", "Nine to five."),
    ("a", ""),
]


def padded_logits(folder) -> list[float]:
    ours.register()
    ours.register()  # a second time does no harm
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = "[PAD]"
    batch = tokenizer(*zip(*PAIRS, strict=True), padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits[:, 0].tolist()


def test_padded_rows_give_the_logits_of_pairs_read_one_by_one(late_join, tmp_path):
    start = prepare_start(str(late_join()), tmp_path / "start")

    found = padded_logits(start.folder)

    assert found == pytest.approx(pair_logits(late_join(), PAIRS), abs=1e-4)
    assert np.ptp(found) > 0.1
    assert "the layers above learn" in " ".join(start.said)


def test_what_is_frozen_drops_nothing_out_in_training(late_join):
    ours.register()
    model = AutoModelForSequenceClassification.from_pretrained(late_join())
    dropouts = {
        name: part for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout)
    }
    assert ours.frozen_in(model) is model
    model.train()
    dropping = {name for name, part in dropouts.items() if part.training}
    assert dropping
    assert all(name.startswith("bert.encoder.layer.") for name in dropping)
    assert not {name for name in dropping if ".layer.0." in name or ".layer.1." in name}


def test_only_what_lies_above_the_join_learns(late_join, late_recipe, tmp_path):
    train(late_recipe("model", learning_rate=1e-2, steps=4))

    before = load_file(late_join() / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name for name in changed if ".layer.0." in name or ".layer.1." in name} == set()
    assert not {name for name in changed if name.startswith(("bert.apart", "bert.embeddings"))}
    assert {"bert.join.cosine", "bert.join.sides.weight", "classifier.weight"} <= changed
    assert any(name.startswith("bert.encoder.layer.3.") for name in changed)
    exact = CrossEncoder.load(tmp_path / "model", compute=Compute("fp32")).score(PAIRS[:3])
    assert exact == pytest.approx(padded_logits(tmp_path / "model")[:3], abs=1e-4)
