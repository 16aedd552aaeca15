from __future__ import annotations

import sys

import numpy as np
import pytest

from lessons import lessons
from secondpass.engine.cross_encoder import CrossEncoder
from secondpass.errors import InvalidInput, MissingExtra, ModelError
from secondpass.training import distilling
from secondpass.training.distilling import Mixture, distil, standard
from secondpass.training.lists import TrainingList, read_lists
from secondpass.training.progress import Watch
from secondpass.training.scoring import parts

LISTS = lessons(9)


def scores_of(path):
    return [one.scores for one in read_lists(path)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("secondpass.training.scoring.PAIRS_AT_ONCE", 8)


def logits(folder):
    model = CrossEncoder.load(folder)
    return [model.score([(one.query, text) for text in one.texts]) for one in LISTS]


def test_one_teacher_gives_its_logits(checkpoint, tmp_path):
    out = tmp_path / "scored.jsonl.gz"

    done = distil(LISTS, out, Mixture((str(checkpoint("bert")),)))

    found = list(read_lists(out))
    assert [(one.query, one.texts, one.labels) for one in found] == [
        (one.query, one.texts, one.labels) for one in LISTS
    ]
    assert np.array(scores_of(out)) == pytest.approx(np.array(logits(checkpoint("bert"))), abs=1e-5)
    assert (done.lists, done.texts, done.left_out) == (9, 36, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["scored.jsonl.gz"]


def test_several_teachers_are_put_on_one_scale_and_weighed(checkpoint, tmp_path):
    out = tmp_path / "scored.jsonl"
    teachers = (str(checkpoint("bert")), str(checkpoint("roberta")))

    distil(LISTS, out, Mixture(teachers, (3.0, 1.0)))

    first, second = (np.array(logits(name)) for name in teachers)

    def z(values):
        return (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)

    assert np.array(scores_of(out)) == pytest.approx((3 * z(first) + z(second)) / 4, abs=1e-4)


def test_the_library_may_be_the_teacher(checkpoint, tmp_path):
    out = tmp_path / "scored.jsonl"

    distil(LISTS, out, Mixture((f"sentence-transformers:{checkpoint('bert')}",)))

    assert np.array(scores_of(out)) == pytest.approx(np.array(logits(checkpoint("bert"))), abs=0.05)


def test_equal_logits_say_nothing():
    assert standard(np.full(4, 7.0, np.float32)).tolist() == [0.0] * 4


def test_a_run_that_was_cut_short_goes_on(checkpoint, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "scored.jsonl"
    mixture = Mixture((str(checkpoint("bert")),))
    distil(LISTS, whole, mixture)
    asked, said = [], []

    def interrupted(stage, done, total):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(LISTS, out, mixture, watch=Watch(at=interrupted))
    assert not out.exists()
    part = tmp_path / "scored.jsonl.part"
    part.write_text(part.read_text() + "[0.1, 0.")  # a line that the kill cut short
    real = distilling.score_readable
    monkeypatch.setattr(
        distilling, "score_readable", lambda score, some: asked.extend(some) or real(score, some)
    )
    distil(LISTS, out, mixture, watch=Watch(say=said.append))

    assert out.read_text() == whole.read_text()
    assert asked == LISTS[4:]
    assert said == [f"4 of 9 lists are scored already, in '{part}'"]
    assert not part.exists()


@pytest.mark.parametrize("other", ["teacher", "lists"])
def test_the_scores_of_another_run_are_not_taken(checkpoint, tmp_path, other):
    out = tmp_path / "scored.jsonl"
    part = tmp_path / "scored.jsonl.part"

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(LISTS, out, Mixture((str(checkpoint("bert")),)), watch=Watch(at=stop))
    teacher = checkpoint("roberta" if other == "teacher" else "bert")
    lists = LISTS[1:] if other == "lists" else LISTS

    with pytest.raises(InvalidInput, match=r"has the scores of another run .* remove it"):
        distil(lists, out, Mixture((str(teacher),)))
    assert part.exists()


def test_a_query_that_fills_a_teacher_is_left_out(checkpoint, tmp_path):
    out = tmp_path / "scored.jsonl"
    long = TrainingList("panda " * 90, ("a", "b"), (1.0, 0.0))

    done = distil([LISTS[0], long, LISTS[1]], out, Mixture((str(checkpoint("bert")),)))

    assert done.left_out == 1
    assert [one.query for one in read_lists(out)] == [LISTS[0].query, LISTS[1].query]
    with pytest.raises(
        InvalidInput, match="none of 1 lists has a query that leaves the teacher room"
    ):
        distil([long], tmp_path / "none.jsonl", Mixture((str(checkpoint("bert")),)))


def test_wrong_input_is_refused(checkpoint, tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match=r"'.*model' ends in neither .jsonl nor .jsonl.gz"):
        distil(LISTS, tmp_path / "model", Mixture(("mini",)))
    (tmp_path / "there.jsonl").touch()
    with pytest.raises(InvalidInput, match=r"there.jsonl' exists"):
        distil(LISTS, tmp_path / "there.jsonl", Mixture(("mini",)))
    with pytest.raises(InvalidInput, match="no teacher is named"):
        Mixture(())
    with pytest.raises(InvalidInput, match="1 shares are given for 2 teachers"):
        Mixture(("a", "b"), (1.0,))
    with pytest.raises(InvalidInput, match="expected numbers above 0"):
        Mixture(("a", "b"), (1.0, -1.0))
    with pytest.raises(ModelError, match="'nobody' is no folder"):
        distil(LISTS, tmp_path / "a.jsonl", Mixture(("nobody",)))
    with pytest.raises(ModelError, match="cannot be loaded by sentence-transformers"):
        distil(
            LISTS,
            tmp_path / "a.jsonl",
            Mixture((f"sentence-transformers:{tmp_path}",)),
            offline=True,
        )
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'secondpass\[sentence-transformers\]'"):
        distil(LISTS, tmp_path / "a.jsonl", Mixture(("sentence-transformers:x",)))


def test_parts_are_the_lists_in_order():
    assert [one for part in parts(LISTS) for one in part] == LISTS
    assert [len(part) for part in parts(LISTS)] == [2, 2, 2, 2, 1]
