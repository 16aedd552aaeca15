from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bi_encoders import write_modules
from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.engine.export import export
from secondpass.errors import InvalidInput, ModelError
from secondpass.training.start import (
    ARCHITECTURES,
    prepare_start,
    spread_layers,
    stated_licence,
)

PAIRS = [("what is a panda?", "a bear"), ("why", "because"), ("大熊猫", "是中国特有的一种熊科动物")]


def logits(folder):
    return CrossEncoder.load(folder, compute=Compute(precision="fp32")).score(PAIRS)


def transformers_logits(folder):
    import torch
    from sentence_transformers import CrossEncoder as LibraryCrossEncoder

    model = LibraryCrossEncoder(str(folder), device="cpu", local_files_only=True)
    return model.predict(PAIRS, activation_fn=torch.nn.Identity(), batch_size=1)


@pytest.mark.parametrize("variant", ["bert", "roberta", "xlm-roberta"])
def test_a_checkpoint_starts_as_what_it_is(checkpoint, tmp_path, variant):
    start = prepare_start(str(checkpoint(variant)), tmp_path / "start")

    assert logits(start.folder) == pytest.approx(logits(checkpoint(variant)), abs=1e-6)
    assert transformers_logits(start.folder) == pytest.approx(logits(start.folder), abs=1e-4)
    assert (start.said, start.fresh_head, start.hub_name) == ([], False, None)


def test_int8_weights_are_widened(checkpoint, tmp_path):
    small = export(checkpoint("bert"), tmp_path / "small")
    (small / "secondpass.json").write_text(
        '{"window_tokens": 48, "first_stage_weight": 0.3, "outliers": {}}'
    )

    start = prepare_start(str(small), tmp_path / "start")

    assert logits(start.folder) == pytest.approx(logits(small), abs=1e-6)
    assert transformers_logits(start.folder) == pytest.approx(logits(small), abs=1e-4)
    facts = json.loads((start.folder / "secondpass.json").read_text())
    assert facts == {"window_tokens": 48, "first_stage_weight": 0.3}


def test_the_head_is_ready_for_a_probability(own_checkpoint, tmp_path):
    source = own_checkpoint(sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")

    config = json.loads(
        (prepare_start(str(source), tmp_path / "start").folder / "config.json").read_text()
    )

    assert config["sentence_transformers"]["activation_fn"].endswith("Sigmoid")
    assert "sbert_ce_default_activation_function" not in config


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        (12, 6, (0, 2, 4, 7, 9, 11)),
        (12, 3, (0, 6, 11)),
        (3, 2, (0, 2)),
        (4, None, (0, 1, 2, 3)),
        (3, 1, (0,)),
    ],
)
def test_layers_are_spread_evenly(there, wanted, expected):
    assert spread_layers(there, wanted) == expected


def test_a_smaller_student_has_the_layers_it_was_given(checkpoint, tmp_path):
    start = prepare_start(str(checkpoint("bert")), tmp_path / "start", layers=2)

    old, new = (
        load_file(folder / "model.safetensors") for folder in (checkpoint("bert"), start.folder)
    )
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert np.array_equal(new[name.format(1)], old[name.format(2)])
    assert name.format(2) not in new
    assert json.loads((start.folder / "config.json").read_text())["num_hidden_layers"] == 2
    assert start.said == ["the model starts from layers 1, 3 of 3"]
    assert np.isfinite(logits(start.folder)).all()


def test_more_layers_than_there_are_are_refused(checkpoint, tmp_path):
    with pytest.raises(InvalidInput, match="layers=4 are more than the 3 of the start model"):
        prepare_start(str(checkpoint("bert")), tmp_path / "start", layers=4)
    assert not (tmp_path / "start").exists()


def headless(folder, prefix="bert."):
    path = folder / "model.safetensors"
    kept = {
        name.removeprefix(prefix): value
        for name, value in load_file(path).items()
        if not name.startswith("classifier")
    }
    save_file(kept, path)
    return folder


@pytest.mark.parametrize("variant", ["bert", "roberta"])
def test_an_encoder_gets_a_fresh_head_and_that_is_said(own_checkpoint, tmp_path, variant):
    source = headless(own_checkpoint(variant), f"{variant}.")
    write_modules(source, {"pooling_mode_mean_tokens": True})

    starts = [
        prepare_start(str(source), tmp_path / str(at), seed=seed)
        for at, seed in enumerate((0, 0, 1))
    ]

    assert all(start.fresh_head for start in starts)
    assert "has no ranking head: it gets a new one" in starts[0].said[0]
    first, again, other = (logits(start.folder) for start in starts)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert transformers_logits(starts[0].folder) == pytest.approx(first, abs=1e-4)


def test_berts_pooler_stays_under_a_fresh_head(own_checkpoint, tmp_path):
    source = headless(own_checkpoint("bert"), prefix="")

    start = prepare_start(str(source), tmp_path / "start")

    old, new = (load_file(folder / "model.safetensors") for folder in (source, start.folder))
    assert np.array_equal(new["bert.pooler.dense.weight"], old["bert.pooler.dense.weight"])


def test_all_layers_of_a_late_join_are_needed(late_join, tmp_path):
    with pytest.raises(InvalidInput, match="joins query and text at layer 2"):
        prepare_start(str(late_join()), tmp_path / "start", layers=2)


def test_a_head_of_several_labels_is_refused(own_checkpoint, tmp_path):
    folder = own_checkpoint()
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"] = np.repeat(tensors["classifier.weight"], 3, axis=0)
    save_file(tensors, folder / "model.safetensors")

    with pytest.raises(ModelError, match="classifies into 3 labels"):
        prepare_start(str(folder), tmp_path / "start")


def test_a_model_of_another_kind_is_refused(own_checkpoint, tmp_path):
    with pytest.raises(ModelError, match="is a model of type 'gpt2'"):
        prepare_start(str(own_checkpoint(model_type="gpt2")), tmp_path / "start")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [a]\n---\n# name\n", "apache-2.0"),
        ('---\nlanguage: en\nlicense: "mit"\n---\n', "mit"),
        ("# name\nlicense: mit\n", None),
        ("---\ntags: [a]\n---\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_a_licence_is_read_from_the_head_of_a_card_alone(tmp_path, card, licence):
    (tmp_path / "README.md").write_text(card, encoding="utf-8")

    assert stated_licence(tmp_path / "README.md") == licence
    assert stated_licence(tmp_path / "none.md") is None


def test_every_family_has_its_class():
    from secondpass.engine.spec import FAMILIES

    assert set(ARCHITECTURES) == set(FAMILIES)
