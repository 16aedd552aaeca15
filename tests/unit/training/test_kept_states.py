"""What frozen layers say is computed once: the same logits, the same weights after a kill."""

from __future__ import annotations

import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification

from lessons import lessons
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.training import kept_states, late_join
from secondpass.training.batches import EncodedLists
from secondpass.training.checking import tensors_of
from secondpass.training.fitting import trained_on
from secondpass.training.kept_states import KeptStates, Sides
from secondpass.training.progress import Watch
from secondpass.training.recipe import Recipe
from secondpass.training.run import train
from secondpass.training.start import prepare_start

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def lists_and_model(late_join_start):
    spec = ModelSpec.read(late_join_start)
    tokenizer = PairTokenizer.load(late_join_start, vocabulary=spec.vocabulary)
    late_join.register()
    model = AutoModelForSequenceClassification.from_pretrained(late_join_start).eval()
    return EncodedLists(lessons(12), tokenizer, spec, 64), model


@pytest.fixture
def late_join_start(late_join, tmp_path):
    return prepare_start(str(late_join()), tmp_path / "start").folder


def test_kept_states_give_the_logits_that_the_whole_model_gives(lists_and_model, tmp_path):
    lists, model = lists_and_model
    sides = Sides.of(lists.rows())
    heard = []

    kept = KeptStates.compute(model, sides, tmp_path, on_tokens=lambda *at: heard.append(at))

    assert heard[-1] == (sides.tokens, sides.tokens)
    assert len(sides.starts) < len(lists) + 8 < len(list(lists.rows()))  # 7 texts, each read once
    (*chunks,) = lists.step(range(len(lists)), chunk_tokens=60).chunks
    assert len(chunks) > 3
    with torch.no_grad():
        found = [model(**tensors_of(chunk, kept)).logits.numpy() for chunk in chunks]
        expected = [model(**tensors_of(chunk)).logits.numpy() for chunk in chunks]
    assert np.concatenate(found) == pytest.approx(np.concatenate(expected), abs=5e-3)
    assert np.ptp(np.concatenate(expected)) > 0.1


def test_what_was_read_is_not_read_again(lists_and_model, tmp_path, monkeypatch):
    lists, model = lists_and_model
    sides = Sides.of(lists.rows())
    chunk = lists.step([0, 1], chunk_tokens=600).chunks[0]
    first = KeptStates.compute(model, sides, tmp_path).given(chunk)

    def unwanted(*_):
        pytest.fail("the sides are read a second time")

    again = KeptStates.compute(model, sides, tmp_path, on_tokens=unwanted).given(chunk)
    assert all(torch.equal(first[name], again[name]) for name in ("states", "cosines"))

    # the disk that the checkpoints have filled since does not matter
    monkeypatch.setattr(kept_states, "_has_room", lambda *_: False)
    assert KeptStates.compute(model, sides, tmp_path, on_tokens=unwanted) is not None


def test_what_a_kill_left_and_what_is_of_other_sides_or_weights_is_read_anew(
    lists_and_model, tmp_path
):
    lists, model = lists_and_model
    rows = list(lists.rows())
    sides, fewer = Sides.of(rows), Sides.of(rows[3:])
    tokens = []

    def reads(of, **changes):
        heard = []
        given = {"on_tokens": lambda *at: heard.append(at)} | changes
        KeptStates.compute(model, of, tmp_path, **given)
        tokens.append(len(heard) > 0)

    reads(sides)
    reads(fewer)
    reads(fewer)
    reads(fewer, precision="bf16")
    (tmp_path / kept_states.RECORD).unlink()  # it is written last
    reads(fewer, precision="bf16")
    with torch.no_grad():
        model.bert.encoder.layer["0"].output.dense.bias += 1
    reads(fewer, precision="bf16")

    assert tokens == [True, True, False, True, True, True]


def test_a_disk_that_fills_up_while_it_is_written_leaves_nothing(lists_and_model, tmp_path):
    lists, model = lists_and_model
    sides = Sides.of(lists.rows())

    def full(*_):
        raise OSError(28, "No space left on device")

    assert KeptStates.compute(model, sides, tmp_path, on_tokens=full) is None
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [kept_states.RECORD]
    # and it stays so, for a run goes on as it began
    assert KeptStates.compute(model, sides, tmp_path) is None


def test_the_longest_and_the_shortest_sides_make_no_batch_that_is_mostly_padding():
    keys = [(1, np.zeros(500, np.int32).tobytes())] * 20
    keys += [(0, np.full(12, at, np.int32).tobytes()) for at in range(1000)]
    found = list(kept_states._side_batches(keys))
    assert sorted(number for numbers, *_ in found for number in numbers) == list(range(1020))
    assert max(ids.numel() for _, ids, _, _ in found) <= kept_states.READ_TOKENS


def test_a_late_join_that_was_killed_ends_with_the_same_weights(late_recipe, tmp_path):
    def stop(stage, done, total):
        if stage == "training" and done == 5:
            raise KeyboardInterrupt

    train(late_recipe("whole"))
    with pytest.raises(KeyboardInterrupt):
        train(late_recipe("killed"), watch=Watch(at=stop))
    assert (tmp_path / "killed.training" / "checkpoints" / kept_states.STATES).is_file()
    train(late_recipe("killed"))

    whole, killed = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")
    )
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)
    assert not (tmp_path / "killed.training").exists()


@pytest.mark.parametrize(
    ("can", "numbers"), [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32"), ({}, "fp32")]
)
def test_a_cpu_computes_in_bf16_where_it_has_instructions_for_it(monkeypatch, can, numbers):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert trained_on(Recipe(device="cpu")) == f"cpu, {numbers}"
    assert trained_on(Recipe(device="cpu", precision="fp32")) == "cpu, fp32"
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert trained_on(Recipe()) == f"cpu, {numbers}"


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_late_join_learns_in_bf16(late_join, late_recipe, tmp_path, device):
    recipe = late_recipe("model", precision="bf16", device=device)
    done = train(recipe)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "| machine | cpu, bf16" in card or (
        device == "auto" and torch.accelerator.is_available()
    )
    assert "do not know that kind of model" in card
    assert "loads in sentence-transformers" not in card
    before = load_file(late_join() / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    name = "bert.encoder.layer.3.output.dense.weight"
    assert 0 < np.abs(before[name] - after[name]).max() < 0.1
    assert 0 < done.measures.quality.fp32 <= 1


def test_a_full_disk_is_said_and_the_layers_are_computed_at_each_step(
    late_recipe, tmp_path, monkeypatch
):
    said = []
    usage = namedtuple("usage", "total used free")
    kept = train(late_recipe("kept"), watch=Watch(say=said.append))
    assert any("below the join read" in line for line in said)

    said.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    anew = train(late_recipe("anew"), watch=Watch(say=said.append))

    assert any("computed anew at each step" in line for line in said)
    assert anew.measures.quality.fp32 == pytest.approx(kept.measures.quality.fp32, abs=0.05)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "anew"))
    name = "bert.join.sides.weight"
    assert first[name] == pytest.approx(second[name], abs=2e-3)
