"""Each thing that a checkpoint can have wrong is found, with advice, and nothing is raised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from secondpass.engine.examine import examine
from secondpass.engine.locate import locate

PARTS = ["files", "config", "head", "tokenizer", "activation", "limits", "scores"]


def last(folder):
    """The last finding, which is the one amiss where one is; none before it is."""
    findings = examine(folder)
    assert not any(finding.amiss for finding in findings[:-1])
    assert [finding.subject for finding in findings] == PARTS[: len(findings)]
    return findings[-1]


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.mark.parametrize("variant", ["bert", "roberta", "xlm-roberta"])
def test_a_good_checkpoint_has_nothing_amiss(variant, checkpoint):
    findings = {finding.subject: finding for finding in examine(checkpoint(variant))}

    assert list(findings) == PARTS
    assert not any(finding.amiss for finding in findings.values())
    assert variant in findings["config"].found
    assert "sigmoid, for config.json names none" in findings["activation"].found
    assert "compare them with `score`" in findings["activation"].advice
    assert "64 tokens" in findings["limits"].found
    assert "windows" in findings["limits"].advice


def test_the_bundled_model_is_whole():
    findings = {finding.subject: finding for finding in examine(locate("mini"))}

    assert list(findings) == PARTS
    assert not any(finding.amiss for finding in findings.values())
    assert "512 tokens" in findings["limits"].found


def test_a_named_activation_needs_no_advice(own_checkpoint):
    folder = own_checkpoint(sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")

    (found,) = [finding for finding in examine(folder) if finding.subject == "activation"]

    assert (found.found, found.advice) == ("identity, as config.json names it", "")


def test_a_pointer_of_git_lfs_is_no_model(own_checkpoint):
    folder = own_checkpoint()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90\n"
    (folder / "model.safetensors").write_text(pointer)

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("files", True)
    assert "pointer of Git LFS" in finding.found
    assert "git lfs pull" in finding.advice


def test_missing_weights_are_amiss(own_checkpoint):
    folder = own_checkpoint()
    (folder / "model.safetensors").unlink()

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("files", True)
    assert "has no model.safetensors" in finding.found
    assert finding.advice


def test_half_a_download_is_amiss(own_checkpoint):
    path = own_checkpoint() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    finding = last(path.parent)

    assert (finding.subject, finding.amiss) == ("head", True)
    assert "is no readable safetensors file" in finding.found + finding.advice


def test_an_unknown_family_is_amiss(own_checkpoint):
    finding = last(own_checkpoint(model_type="t5"))

    assert (finding.subject, finding.amiss) == ("config", True)
    assert "is a model of type 't5'" in finding.found
    assert finding.advice.startswith("choose a checkpoint")


def test_a_missing_head_is_amiss(own_checkpoint):
    folder = own_checkpoint()
    edit_weights(folder, lambda all_: {k: v for k, v in all_.items() if "classifier" not in k})

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("head", True)
    assert "an encoder without a ranking head" in finding.found


def test_several_labels_are_amiss(own_checkpoint):
    folder = own_checkpoint()

    def widen(weights):
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = np.repeat(weights[name], 3, axis=0)
        return weights

    edit_weights(folder, widen)

    finding = last(folder)

    assert finding.subject == "head"
    assert "classifies into 3 labels" in finding.found
    assert finding.advice == "choose a checkpoint trained for ranking"


def test_a_tokenizer_of_another_model_is_amiss(own_checkpoint):
    folder = own_checkpoint()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"another{at}": len(vocabulary) + at for at in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("tokenizer", True)


def test_a_missing_tokenizer_is_amiss(own_checkpoint):
    folder = own_checkpoint()
    (folder / "tokenizer.json").unlink()

    assert "has no tokenizer.json" in last(folder).found


def test_a_head_that_has_learned_nothing_is_amiss(own_checkpoint):
    folder = own_checkpoint()
    edit_weights(
        folder, lambda all_: all_ | {"classifier.weight": np.zeros_like(all_["classifier.weight"])}
    )

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("scores", True)
    assert "every pair gets the logit" in finding.found


def test_weights_that_are_not_finite_are_amiss(own_checkpoint):
    folder = own_checkpoint()
    edit_weights(
        folder, lambda all_: all_ | {"classifier.bias": np.full(1, np.nan, dtype=np.float32)}
    )

    finding = last(folder)

    assert (finding.subject, finding.amiss) == ("scores", True)
    assert "the model gave nan" in finding.found
