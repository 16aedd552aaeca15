from __future__ import annotations

import json

from secondpass.training.checkpoints import Measured, latest

STATE = {
    "global_step": 4,
    "max_steps": 10,
    "best_global_step": 2,
    "best_metric": 0.75,
    "stateful_callbacks": {"TrainerControl": {"args": {"should_training_stop": False}}},
    "log_history": [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": 1.0},
        {"step": 2, "eval_ndcg@10": 0.75},
        {"step": 4, "eval_ndcg@10": 0.5},
    ],
}


def write(folder, step, *, finished=False):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    control = {"TrainerControl": {"args": {"should_training_stop": finished}}}
    state = STATE | {"global_step": step, "stateful_callbacks": control}
    (path / "trainer_state.json").write_text(json.dumps(state))
    (path / "seconds.json").write_text("12.5")
    return path


def test_nothing_is_no_checkpoint(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "none") is None


def test_the_last_one_counts_by_number_and_not_by_name(tmp_path):
    for step in (8, 10, 9):
        write(tmp_path, step)

    found = latest(tmp_path)

    assert (found.step, found.steps, found.seconds, found.finished) == (10, 10, 12.5, False)
    assert found.best_weights == tmp_path / "checkpoint-2" / "model.safetensors"
    assert found.history == (Measured(2, 0.75, 1.5), Measured(4, 0.5, None))


def test_a_checkpoint_in_part_is_removed(tmp_path):
    write(tmp_path, 2)
    cut = write(tmp_path, 4)
    (cut / "trainer_state.json").write_text('{"global_step": 4, "max')
    without = write(tmp_path, 6)
    (without / "trainer_state.json").unlink()

    assert latest(tmp_path).step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]


def test_the_last_one_of_all_says_so(tmp_path):
    write(tmp_path, 10, finished=True)

    assert latest(tmp_path).finished
