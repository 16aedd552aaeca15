from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from lessons import lessons_file, lines_of
from secondpass.cli import app
from terminal import secondpass


@pytest.fixture
def folder(tmp_path, checkpoint, monkeypatch):
    """A current folder with lists, a tiny model and a recipe."""
    lessons_file(tmp_path / "lists.jsonl", 40)
    (tmp_path / "tiny").symlink_to(checkpoint("bert"))
    (tmp_path / "recipe.toml").write_text(
        'data = "lists.jsonl"\nfrom = "./tiny"\nout = "by-file"\nvalidation_share = 0.25\n'
        'learning_rate = 1e-2\nbatch_tokens = 600\nsteps = 2\nmost_cost = 1.0\ndevice = "cpu"\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def in_process():
    """Runs a command here: importing the trainer's libraries anew would take seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda *words: CliRunner().invoke(app, words, catch_exceptions=False)
    torch.set_num_threads(threads)


def test_train_takes_a_recipe_and_options_before_it(folder, in_process):
    done = in_process("train", "recipe.toml", "--out", "by-option", "--steps", "1", "--json")

    found = json.loads(done.stdout)
    assert (found["out"], found["steps"], found["best_step"]) == ("by-option", 1, 1)
    assert found["measures"].keys() == {"lists", "scores", "start", "quality"}
    assert "secondpass: step 1 of 1: loss " in done.stderr
    assert (folder / "by-option" / "int8" / "model.int8.safetensors").is_file()
    assert not (folder / "by-file").exists()


def test_train_says_where_the_model_is_and_how_good(folder, in_process):
    done = in_process("train", "recipe.toml")

    first, second, third = done.stdout.splitlines()
    assert first.startswith("by-file: 2 steps on ")
    assert second.startswith("nDCG@10 on ")
    assert " now " in second
    assert third.startswith("calibration error: ")


def test_distil_writes_lists_that_train_understands(folder):
    done = secondpass(
        *"distil --teacher ./tiny --data lists.jsonl --out scored.jsonl --json".split(), cwd=folder
    )

    assert (json.loads(done.stdout), done.stderr) == (
        {"lists": 40, "texts": 160, "left_out": 0},
        "",
    )
    assert all(len(line["scores"]) == 4 for line in lines_of(folder / "scored.jsonl"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "no training data is named"),
        ("train --data lists.jsonl", "no place for the model is named"),
        ("train recipe.toml --loss hinge", "unknown loss 'hinge'; choose from lambda, listnet"),
        ("train recipe.toml --epochs 0", "epochs=0 cannot be trained by; expected 1 or more"),
        ("train none.toml", "'none.toml' cannot be read"),
        ("distil --data lists.jsonl --out x.jsonl", "no teacher is named"),
        ("distil --teacher ./tiny --out x.jsonl", "--data and --out are needed"),
        ("distil --teacher ./tiny --data lists.jsonl --out model", "ends in neither"),
        ("distil --teacher ./tiny --data none.jsonl --out x.jsonl", "'none.jsonl' cannot be read"),
    ],
)
def test_wrong_input_is_one_line_and_the_code_1(folder, words, message):
    done = secondpass(*words.split(), cwd=folder)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("secondpass: error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
