"""A folder that is no cross-encoder's is refused, with the name of the file and what to do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from secondpass.engine import CrossEncoder, Limits
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, ModelError, UnknownName


def rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def test_the_spec_comes_from_the_files(checkpoint):
    spec = ModelSpec.read(checkpoint("roberta"))

    assert (spec.family, spec.hidden, spec.layers, spec.heads) == ("roberta", 32, 3, 4)
    assert (spec.padding_id, spec.positions, spec.max_tokens) == (1, 66, 64)
    assert spec.token_types == 1
    assert (spec.activation, spec.window_tokens, spec.first_stage_weight) == ("sigmoid", 64, 0.0)


@pytest.mark.parametrize(
    ("config", "activation"),
    [
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
            "identity",
        ),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.Sigmoid", "version": "6"}},
            "sigmoid",
        ),
    ],
)
def test_the_named_activation_is_a_fact_of_the_model(config, activation, own_checkpoint):
    assert ModelSpec.read(own_checkpoint(**config)).activation == activation


def test_own_facts_are_read(own_checkpoint):
    folder = own_checkpoint()
    (folder / "secondpass.json").write_text('{"window_tokens": 40, "first_stage_weight": 0.3}')

    spec = ModelSpec.read(folder)

    assert (spec.window_tokens, spec.first_stage_weight) == (40, 0.3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "deberta-v2"}, "type 'deberta-v2'.*bert, roberta, xlm-roberta"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"sbert_ce_default_activation_function": "my.code.Activation"}, "'my.code.Activation'"),
        ({"hidden_size": 64}, "shape.*config.json asks for"),
        ({"num_hidden_layers": 4}, "lacks the tensor encoder.layer.3"),
        ({"vocab_size": 10}, "do not belong together"),
        ({"num_attention_heads": 5}, "num_attention_heads=5"),
        ({"num_attention_heads": 0}, "num_attention_heads=0"),
        ({"hidden_size": "wide"}, "wrong type.*'wide'"),
        ({"sentence_transformers": "x"}, "wrong type"),
        ({"is_decoder": True}, "is a decoder"),
        ({"type_vocab_size": 3}, "token_type_embeddings of shape"),
    ],
)
def test_a_config_that_does_not_fit_is_named(config, message, own_checkpoint):
    with pytest.raises(ModelError, match=message):
        CrossEncoder.load(own_checkpoint(**config))


def test_facts_of_a_newer_version_are_refused(own_checkpoint):
    folder = own_checkpoint()
    (folder / "secondpass.json").write_text('{"window_tokens": 40, "join_layer": 8}')

    with pytest.raises(ModelError, match="join_layer"):
        ModelSpec.read(folder)


def test_a_missing_key_of_the_config_is_named(own_checkpoint):
    folder = own_checkpoint()
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match="'hidden_size'"):
        ModelSpec.read(folder)


def test_an_encoder_without_a_head_is_refused(own_checkpoint):
    folder = own_checkpoint()
    rewrite(folder, lambda t: {k: v for k, v in t.items() if not k.startswith("classifier")})

    with pytest.raises(ModelError, match=r"no classifier\.weight.*encoder without a ranking head"):
        CrossEncoder.load(folder)
    (folder / "modules.json").write_text("[]")
    with pytest.raises(ModelError, match="it is a bi-encoder"):
        CrossEncoder.load(folder)


def test_a_head_of_several_labels_is_refused(own_checkpoint):
    folder = own_checkpoint("roberta")

    def widen(tensors):
        weight, bias = "classifier.out_proj.weight", "classifier.out_proj.bias"
        return {**tensors, weight: np.repeat(tensors[weight], 3, 0), bias: np.zeros(3, np.float32)}

    rewrite(folder, widen)
    with pytest.raises(ModelError, match="3 labels"):
        CrossEncoder.load(folder)


def test_weights_that_are_missing_pickled_or_broken_are_named(own_checkpoint):
    folder = own_checkpoint()
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors' is no readable safetensors file"):
        CrossEncoder.load(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        CrossEncoder.load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match=r"only as pytorch_model\.bin; pickled.*never loaded"):
        CrossEncoder.load(folder)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1.safetensors"}}'
    )
    with pytest.raises(ModelError, match=r"lacks model-1\.safetensors"):
        CrossEncoder.load(folder)


def test_old_names_of_layer_norm_are_understood(own_checkpoint, checkpoint):
    folder = own_checkpoint()
    rewrite(
        folder,
        lambda tensors: {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): value
            for name, value in tensors.items()
        },
    )
    pairs = [("a", "panda")]

    expected = CrossEncoder.load(checkpoint("bert")).score(pairs)
    assert CrossEncoder.load(folder).score(pairs).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_tokens=65), "max_tokens=65 exceeds the model's limit of 64"),
        (Limits(max_tokens=40, window_tokens=50), "window_tokens=50 exceeds"),
        (Limits(max_tokens=8), "too small"),
        (Limits(window_overlap=-1), "negative"),
        (Limits(max_tokens=0), "max_tokens=0 is too small"),
        (Limits(window_tokens=0), "window_tokens=0 is too small"),
        (Limits(batch_tokens=0), "batch_tokens=0"),
        (Limits(long_texts="cut"), "'cut'"),
    ],
)
def test_limits_beyond_the_model_are_refused(limits, message, checkpoint):
    with pytest.raises(InvalidInput, match=message):
        CrossEncoder.load(checkpoint("bert"), limits=limits)


def test_unknown_names_list_what_there_is(checkpoint):
    with pytest.raises(UnknownName, match="unknown backend 'onx'; choose from auto, native, numpy"):
        CrossEncoder.load(checkpoint("bert"), backend="onx")
    with pytest.raises(ModelError, match=r"'\./nowhere' is no folder and no bundled model"):
        CrossEncoder.load("./nowhere")


def test_weights_are_the_same_when_their_pages_were_forgotten(checkpoint):
    folder = checkpoint("bert")
    weights = load_weights(folder, ModelSpec.read(folder))
    before = {name: values.copy() for name, values in weights.items()}

    weights.forget_pages()

    for name, values in weights.stored().items():
        np.testing.assert_array_equal(values, before[name])


def test_asking_for_a_tensor_does_not_read_it(checkpoint, monkeypatch):
    folder = checkpoint("bert")
    weights = load_weights(folder, ModelSpec.read(folder))
    monkeypatch.delattr("secondpass.engine.checkpoint._widen")

    assert "logit.weight" in weights
    assert "classifier.weight" not in weights
