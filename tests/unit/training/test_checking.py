from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as LibraryCrossEncoder

from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder, Limits
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.training.checking import MEASURE, HeldOut
from secondpass.training.lists import TrainingList
from secondpass.training.measures import order_quality
from secondpass.training.scoring import score_lists

WORDS = "the giant panda is a bear species endemic to china and a score reads passage".split()


@pytest.mark.parametrize("variant", ["bert", "xlm-roberta"])
def test_a_check_reads_long_texts_as_the_engine_does(checkpoint, variant):
    folder, draw = checkpoint(variant), np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, size)) for size in draw.integers(3, 120, 60)]
    lists = [
        TrainingList(f"query {at}", tuple(dict.fromkeys(texts[at : at + 6])), (1.0,) + (0.0,) * 5)
        for at in range(0, 60, 6)
    ]
    spec = ModelSpec.read(folder)
    tokenizer = PairTokenizer.load(folder, vocabulary=spec.vocabulary)
    model = LibraryCrossEncoder(str(folder), device="cpu", local_files_only=True)

    checked = HeldOut(lists, tokenizer, spec, 40)(model)[MEASURE]

    def engine(overlap):
        limits = Limits(window_tokens=40, window_overlap=overlap)
        loaded = CrossEncoder.load(folder, compute=Compute(precision="fp32"), limits=limits)
        return order_quality(score_lists(loaded.score, lists), lists)

    assert checked == pytest.approx(engine(64), abs=1e-6)
    assert checked != pytest.approx(engine(0), abs=1e-6)
