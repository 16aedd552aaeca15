"""Whole runs of a tiny model; the slow part, importing the trainer's libraries, is paid once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock
from huggingface_hub import ModelCard
from safetensors.numpy import load_file

from checkpoints import build_checkpoint
from lessons import TOY, lessons, lessons_file
from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import EngineError, InvalidInput, MissingExtra, ModelError
from secondpass.training import run
from secondpass.training.lists import TrainingList, read_lists, write_lists
from secondpass.training.progress import Watch
from secondpass.training.recipe import Recipe
from secondpass.training.run import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model made from a seed, with small weights, which learn fast."""
    return build_checkpoint("bert", tmp_path_factory.mktemp("tiny"), initializer_range=0.1)


@pytest.fixture
def toy(tiny, tmp_path):
    """A recipe whose model begins as the tiny one."""

    def make(count=60, *, scores=False, **changes):
        data = lessons_file(tmp_path / "lists.jsonl", count, scores=scores)
        recipe = replace(TOY, data=(str(data),), out=str(tmp_path / "model"))
        return replace(recipe, **({"start": str(tiny)} | changes))

    return make


class Listener:
    """Hears a run; `stop_after` steps it is interrupted, as by Ctrl-C."""

    def __init__(self, stop_after=math.inf):
        self.lines, self.stages, self.stop_after = [], [], stop_after

    @property
    def watch(self):
        return Watch(say=self.lines.append, at=self.at)

    def at(self, stage, done, total):
        self.stages.append((stage, done, total))
        if stage == "training" and done >= self.stop_after:
            raise KeyboardInterrupt

    def steps(self):
        return [done for stage, done, _ in self.stages if stage == "training"]


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def test_training_makes_a_better_model_and_says_how(toy, tmp_path):
    heard = Listener()
    recipe = toy(licence="apache-2.0", language=("en", "zh"))

    done = train(recipe, watch=heard.watch)

    measures = done.measures
    assert measures.quality.fp32 > 0.95 > measures.start
    assert measures.quality.fp32 - measures.quality.int8 < 0.1
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in heard.lines if "loss" in line]
    assert len(losses) == 3
    assert losses[-1] < 0.5 * losses[0]
    assert heard.steps() == list(range(1, 13))
    assert {stage for stage, _, _ in heard.stages} == {"tokenizing", "measuring", "training"}
    assert "nDCG@10 before training: " in heard.lines[0]
    assert {path.name for path in tmp_path.iterdir()} == {"lists.jsonl", "model"}
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "int8",
        "model.safetensors",
        "recipe.toml",
        "secondpass.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert Recipe.read({}, tmp_path / "model" / "recipe.toml") == recipe
    model = CrossEncoder.load(tmp_path / "model", compute=Compute(precision="fp32"))
    best, _ = model.rerank("the giant bear", ["lorem ipsum", "giant panda"])
    assert best.index == 1
    assert measures.quality.calibrated.error_after < 0.05
    assert_card(tmp_path / "model", done)


def assert_card(folder, done):
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.language) == ("apache-2.0", ["en", "zh"])
    assert (card.data.library_name, card.data.pipeline_tag) == (
        "sentence-transformers",
        "text-ranking",
    )
    values = {one.metric_name: one.metric_value for one in card.data.eval_results}
    assert values["nDCG@10 (float32)"] == pytest.approx(done.measures.quality.fp32, abs=1e-4)
    assert values["nDCG@10 (int8)"] == pytest.approx(done.measures.quality.int8, abs=1e-4)
    for needle in (
        "| lists.jsonl | 60 | 240 | ",
        f"| this model, float32 | {done.measures.quality.fp32:.4f} |",
        "before training | 0.",
        "| steps | 12 of 12, the best after ",
        "| machine | cpu, fp32; ",
        "This model: apache-2.0.",
        "expected calibration error",
        "learning_rate = 0.01",
    ):
        assert needle in card.text, needle


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(toy, tmp_path):
    recipe = toy(steps=10, check_every=2, patience=2)
    whole = train(replace(recipe, out=str(tmp_path / "whole")))
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    killed = subprocess.Popen(
        [sys.executable, "-c", "from secondpass.cli import main; main()", "train", "recipe.toml"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    checkpoints = tmp_path / "model.training" / "checkpoints"
    while not (checkpoints / "checkpoint-2" / "trainer_state.json").is_file():
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()

    heard = Listener()
    done = train(recipe, watch=heard.watch)

    assert any(line.startswith("going on after step ") for line in heard.lines)
    assert 2 < heard.steps()[0] <= 10
    assert same(weights(tmp_path / "model"), weights(tmp_path / "whole"))
    assert (done.steps, done.best_step) == (whole.steps, whole.best_step)
    assert done.measures == whole.measures


def test_patience_ends_a_run_and_the_best_weights_are_delivered(toy, tmp_path):
    # nothing can be learnt at this rate, so the first measure stays the best
    done = train(
        toy(learning_rate=1e-12, steps=10, check_every=1, patience=2), keep_checkpoints=True
    )

    assert (done.steps, done.best_step) == (3, 1)
    kept = tmp_path / "model.training" / "checkpoints"
    assert sorted(path.name for path in kept.glob("checkpoint-*")) == [
        "checkpoint-1",
        "checkpoint-3",
    ]


def test_a_run_is_that_of_its_recipe_and_data_or_begins_anew(toy, tmp_path):
    recipe = toy(steps=4, check_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, watch=Listener(stop_after=3).watch)

    with pytest.raises(InvalidInput, match=r"of a run with steps=4 and not 5; .* --restart"):
        train(replace(recipe, steps=5))
    text = (tmp_path / "lists.jsonl").read_text()
    (tmp_path / "lists.jsonl").write_text(text.partition("\n")[2])
    with pytest.raises(InvalidInput, match="other contents of the data files"):
        train(recipe)
    heard = Listener()
    train(recipe, restart=True, watch=heard.watch)
    assert heard.steps() == [1, 2, 3, 4]
    with pytest.raises(InvalidInput, match=r"model' exists; expected the name of a new folder"):
        train(recipe)


def test_a_second_run_into_the_same_folder_is_refused_and_harms_nothing(toy, tmp_path):
    recipe = toy(steps=4)
    with FileLock(tmp_path / "model.training" / ".lock"):  # as a run holds it
        for restart in (False, True):
            with pytest.raises(InvalidInput, match=r"another run is at work in '.*model.training'"):
                train(recipe, restart=restart)
    assert [path.name for path in (tmp_path / "model.training").iterdir()] == [".lock"]
    assert train(recipe).out.is_dir()
    assert not (tmp_path / "model.training").exists()


def test_what_int8_spoils_is_not_delivered_until_that_is_allowed(toy, tmp_path, monkeypatch):
    recipe = toy(steps=2, check_every=1, most_cost=0.0)
    real = run.deliver

    def stricter(*given, most_cost, on_list):
        # every model costs more than that
        return real(*given, most_cost=most_cost - 2, on_list=on_list)

    with monkeypatch.context() as patch:
        patch.setattr(run, "deliver", stricter)
        with pytest.raises(ModelError, match=r"of nDCG@10 .* run this again with a larger"):
            train(recipe)
    assert not (tmp_path / "model").exists()
    kept = tmp_path / "model.training" / "float32"
    assert np.isfinite(CrossEncoder.load(kept).score([("why", "because")])).all()

    heard = Listener()
    train(replace(recipe, most_cost=2.0), watch=heard.watch)
    assert (heard.steps(), (tmp_path / "model").is_dir()) == ([], True)


def test_a_student_learns_a_teachers_order_of_lists_without_right_texts(toy, checkpoint, tmp_path):
    teacher = CrossEncoder.load(checkpoint("roberta"))
    unlabelled = [replace(one, labels=(0.0,) * 4) for one in lessons(50, seed=2)]
    data = tmp_path / "unlabelled.jsonl"
    write_lists(data, unlabelled)
    recipe = toy(
        data=(str(data),),
        validation=str(lessons_file(tmp_path / "held.jsonl", 12)),
        teacher=(str(checkpoint("roberta")),),
        layers=2,
        pointwise=0.0,
        steps=30,
        check_every=30,
    )

    train(recipe, keep_checkpoints=True)

    scored = list(read_lists(tmp_path / "model.training" / "scored.jsonl"))
    assert [one.query for one in scored] == [one.query for one in unlabelled]

    def agreement(model):
        found = [
            np.corrcoef(model.score([(one.query, text) for text in one.texts]), one.scores)[0, 1]
            for one in scored
        ]
        return float(np.mean(found))

    before = CrossEncoder.load(tmp_path / "model.training" / "start")
    assert agreement(CrossEncoder.load(tmp_path / "model")) > agreement(before) + 0.3
    assert teacher.spec.family == "roberta"


def test_a_loss_that_is_no_number_ends_the_run(toy, tmp_path):
    with pytest.raises(EngineError, match=r"the loss is nan at step .*; expected a number"):
        train(toy(learning_rate=1e30, steps=6, check_every=2))
    assert not (tmp_path / "model").exists()


def test_what_was_left_out_or_cut_is_said(toy, tmp_path):
    long = TrainingList("panda " * 80, ("a", "b"), (1.0, 0.0))
    wide = TrainingList("why", ("panda " * 80, "b"), (1.0, 0.0))
    held = lessons_file(tmp_path / "held.jsonl", 8)
    data = tmp_path / "data.jsonl"
    write_lists(data, [long, wide, *lessons(20)])
    heard = Listener()

    recipe = toy(data=(str(data),), validation=str(held), max_tokens=40, steps=1, layers=2)
    train(recipe, watch=heard.watch)

    assert "8 lists are not trained on: their queries are in" in heard.lines[0]
    assert heard.lines[1] == "the model starts from layers 1, 3 of 3"
    assert heard.lines[2] == "1 training lists left out: their queries fill the model"
    assert heard.lines[3].startswith("1 texts are longer than a row of 40 tokens")
    facts = json.loads((tmp_path / "model" / "secondpass.json").read_text())
    assert facts["window_tokens"] == 40


@pytest.mark.parametrize(
    ("long", "short", "message"),
    [
        ("data", "validation", "none of the training lists"),
        ("validation", "data", "0 of the validation lists"),
    ],
)
def test_queries_that_all_fill_the_model_are_an_error(toy, tmp_path, long, short, message):
    write_lists(
        tmp_path / f"{long}.jsonl",
        [TrainingList(f"{at} " + "panda " * 80, ("a", "b"), (1.0, 0.0)) for at in range(8)],
    )
    lessons_file(tmp_path / f"{short}.jsonl", 8, seed=5)
    data, held = (str(tmp_path / f"{name}.jsonl") for name in ("data", "validation"))

    with pytest.raises(InvalidInput, match=f"{message} has a query that leaves room"):
        train(toy(data=(data,), validation=held))


def test_wrong_input_is_refused_before_anything_is_made(toy, tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match=r"nothing.jsonl' cannot be read"):
        train(toy(data=(str(tmp_path / "nothing.jsonl"),)))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InvalidInput, match="holds no lists"):
        train(toy(data=(str(tmp_path / "empty.jsonl"),)))
    assert not (tmp_path / "model.training").exists()
    with pytest.raises(InvalidInput, match=r"max_tokens=65 exceeds the limit of '.*', 64"):
        train(toy(max_tokens=65))
    with pytest.raises(ModelError, match="'nobody' is no folder and no bundled model"):
        train(toy(start="nobody"), restart=True)
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"training needs the extra 'train': pip install"):
        train(toy())
