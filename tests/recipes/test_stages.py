"""Stages on tiny data: mining against a plain computation, a kill that changes nothing, parcels."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes.bert import Kernels, Ranker, Shape
from recipes.corpus import Corpus
from recipes.feed import Source, feed
from recipes.fit import Clock, Log, Pace, Stage
from recipes.lists import Lists, Recipe
from recipes.mine import Legs, Lexical, Mining, embed, mine, plan, standard
from recipes.plans import SMOKE, late
from recipes.prepare import Pair, build_corpus, is_held_out, noised
from recipes.rescore import retaught
from recipes.scoring import mask_of, run_model
from recipes.start import NIBBLES, SCALES, load_start

from recipes import chain, losses, parcel

CPU = torch.device("cpu")
SHAPE = Shape(vocabulary=200, hidden=16, layers=2, heads=2, intermediate=32, positions=128)
RECIPE = Recipe(tokens=1500, most_places=5, most_tokens=100)


@pytest.fixture
def folders(corpus, mined, tmp_path: Path) -> Source:
    corpus.save(tmp_path / "data")
    mined.save(tmp_path / "mined")
    return Source(tmp_path / "data", tmp_path / "mined", RECIPE, 5)


def trained(folders: Source, path: Path, stops: list[int]) -> dict[str, torch.Tensor]:
    """The weights after the last of `stops` steps, the process killed after each other one."""
    for stop in stops:
        torch.manual_seed(1)
        model = Ranker(SHAPE)
        stage = Stage("t", model, Pace(1e-2, 1e-2, steps=stops[-1]), path, Log(path.parent / "log"))
        stage.restore(CPU)

        def loss_of(batch, model=model, stage=stage, stop=stop):
            if stage.step + 1 >= stop:
                stage.done = True  # as a slice that is over
            logits, mask = run_model(model, batch, Kernels()), mask_of(batch, CPU)
            teacher, soft = torch.from_numpy(batch.teacher), torch.from_numpy(batch.soft)
            return losses.ranking_loss(logits, teacher, mask, soft, losses.Weights())

        with feed(folders, stage.step, 0) as batches:
            train_until(stage, batches, loss_of, stop)
        assert stage.step == stop
    return model.state_dict()


def train_until(stage: Stage, batches, loss_of, stop: int) -> None:
    """Train to step `stop` by a clock that is over then."""

    class Steps(Clock):
        def left(self) -> float:
            return 100.0 if stage.step < stop else 0.0

    stage.train(batches, loss_of, dict, Steps(0))


def test_a_run_that_was_cut_ends_with_the_same_weights(folders, tmp_path):
    whole = trained(folders, tmp_path / "whole.pt", [6])
    cut = trained(folders, tmp_path / "cut.pt", [2, 3, 6])
    start = Ranker(SHAPE).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, cut[name]), name
    assert any(not torch.equal(whole[name], start[name]) for name in whole)


def test_workers_make_the_same_batches_in_order(folders):
    ours = Lists.open(folders.data, folders.mined, folders.recipe, folders.seed)
    with feed(folders, 4, 1) as batches:
        for step in (4, 5, 6):
            assert (next(batches).ids == ours.batch(step).ids).all()


def test_a_corpus_reads_as_it_was_written(corpus, tmp_path):
    corpus.save(tmp_path / "c")
    again = Corpus.load(tmp_path / "c")
    assert again.sources == corpus.sources
    for at in range(40):
        assert (again.passages[at] == corpus.passages[at]).all()
    assert (again.positive == corpus.positive).all()


def test_bm25_of_the_matrix_is_bm25(corpus):
    lexical = Lexical.build(corpus, CPU)
    rows = [[int(corpus.terms[i]) for i in corpus.passages[at]] for at in range(40)]
    mean = sum(map(len, rows)) / len(rows)
    holding = Counter(term for row in rows for term in set(row))
    for at in (0, 7):
        query = corpus.terms[corpus.queries[at]]
        found = lexical.scores([query])[0]
        for passage, row in enumerate(rows):
            expected = 0.0
            for term in set(query.tolist()) - {0}:
                if holding[term] <= max(4, 50) and term in row:
                    idf = np.log1p((40 - holding[term] + 0.5) / (holding[term] + 0.5))
                    times, norm = row.count(term), 1.2 * (0.25 + 0.75 * len(row) / mean)
                    expected += idf * times * 2.2 / (times + norm)
            assert float(found[passage]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_mining_keeps_no_right_passage_and_sorts_by_the_mixture(corpus):
    torch.manual_seed(0)
    encoder = Ranker(SHAPE).encoder
    sides = [
        embed(encoder, texts, corpus.prefixes[side], Kernels(), 600)
        for texts, side in ((corpus.passages, "passage"), (corpus.queries, "query"))
    ]
    legs = Legs(Lexical.build(corpus, CPU), *sides)
    mining = Mining(depth=6, kept=9, block=16, near_duplicate=2.0)
    mined = mine(corpus, legs, mining, queries=np.arange(60))
    dense = (sides[1].float() @ sides[0].float().T).numpy()
    for at in range(60):
        found = mined.candidates[at]
        kept = found[found >= 0]
        assert corpus.positive[at] not in kept
        assert len(set(kept)) == len(kept)
        assert (np.diff(mined.teacher[at][: len(kept)].astype(float)) <= 0).all()
        sparse = legs.lexical.scores([corpus.terms[corpus.queries[at]]])[0].numpy()
        best = {*np.argsort(-sparse, kind="stable")[:6], *np.argsort(-dense[at])[:6]}
        ties = sparse[np.argsort(-sparse)[5]]
        assert all(i in best or sparse[i] == ties for i in kept)
        if corpus.kind[at] == 1 and not corpus.held_out[at]:
            assert (mined.teacher[at][: len(kept)] <= mined.right[at] + 2e-3).all()


def test_embeddings_do_not_depend_on_the_pack(corpus):
    torch.manual_seed(0)
    encoder = Ranker(SHAPE).encoder
    small = embed(encoder, corpus.passages, [13], Kernels(), 200)
    large = embed(encoder, corpus.passages, [13], Kernels(), 5000)
    assert torch.allclose(small.float(), large.float(), atol=2e-3)
    assert sorted(np.concatenate(list(plan(corpus.passages.lengths(), 150)))) == list(range(40))


def test_standard_scores_leave_out_what_does_not_count():
    scores = torch.tensor([[1.0, 3.0, 100.0]])
    found = standard(scores, torch.tensor([[True, True, False]]))
    assert found[0, :2].tolist() == pytest.approx([-1, 1])


def test_a_new_teacher_drops_what_it_likes_better_than_the_right_one(mined):
    scores = np.array([2.0, 5.0, 1.0, 3.0], np.float32)
    for heading, kept in ((True, [1]), (False, [1, 2])):
        candidates, teacher, _ = retaught(scores, mined, 1, heading=heading)
        count = len(kept) + 5
        expected = {int(mined.candidates[1][place]) for place in kept}
        assert set(candidates[: len(kept)].tolist()) == expected
        assert (candidates[:count] >= 0).all()
        assert (candidates[count:] == -1).all()
        assert teacher[len(kept) : count].max() < teacher[: len(kept)].min()


def test_parcels_give_back_the_folder_and_notice_damage(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    data = np.random.default_rng(0).bytes(300_000)
    (source / "deep" / "a.bin").write_bytes(data)
    parts = parcel.pack(source, tmp_path / "parts", mib=0.1)
    assert len(parts) == 3
    assert all(part.stat().st_size <= 0.1 * parcel.MIB for part in parts)
    parcel.unpack(tmp_path / "parts", tmp_path / "again")
    assert (tmp_path / "again/deep/a.bin").read_bytes() == data
    parts[1].write_bytes(b"x" + parts[1].read_bytes()[1:])
    with pytest.raises(ValueError, match="bring them again"):
        parcel.unpack(tmp_path / "parts", tmp_path / "third")
    parts[2].unlink()
    with pytest.raises(ValueError, match="lacks part-02"):
        parcel.unpack(tmp_path / "parts", tmp_path / "fourth")


def test_four_bits_unpack_to_levels_times_scales(tmp_path):
    rng = np.random.default_rng(0)
    levels, scales = rng.integers(0, 16, (3, 2, 32)), rng.random((3, 2)).astype(np.float16)
    halves = (levels[..., :16] | levels[..., 16:] << 4).astype(np.uint8)
    bias = rng.random(5).astype(np.float32)
    np.savez(tmp_path / "s.npz", **{"w" + NIBBLES: halves, "w" + SCALES: scales, "b": bias})
    found = load_start(tmp_path / "s.npz")
    expected = (levels - 8) * scales.astype(np.float32)[..., None]
    assert found["w"] == pytest.approx(expected.reshape(3, 64))
    assert found["b"] == pytest.approx(bias)


def test_a_query_is_held_out_by_its_text_alone():
    texts = [f"What is number {n}?" for n in range(5000)]
    assert 60 < sum(map(is_held_out, texts)) < 140
    assert all(is_held_out(text) == is_held_out(f" {text.upper()} ") for text in texts[:200])


def test_noise_changes_a_query_little():
    import random

    for seed in range(100):
        query = "What does the Panda eat?"
        found = noised(query, random.Random(seed))
        assert abs(len(found) - len(query)) <= 2
        assert len(set(query.lower()) - set(found.lower())) <= 2


CHAIN = replace(
    SMOKE,
    shape=replace(SHAPE, vocabulary=40000),
    recipe=Recipe(tokens=1500, most_places=4, most_tokens=64),
    base=Pace(1e-3, 1e-3, steps=2),
    refine=Pace(1e-3, 1e-3, steps=1),
    distil=Pace(1e-3, 1e-3, steps=1),
    students=(("small", 1),),
    checked=4,
    rescoring_seconds=0.1,
)


@pytest.fixture
def own_pairs(monkeypatch) -> list[Pair]:
    monkeypatch.setattr("recipes.prepare.HELD_OUT", 4)
    animals = "panda fox owl hare wolf bear lynx crane toad newt mole swan".split()
    foods = "bamboo mice fish grass deer berries 竹子 昆虫 worms 水草 seeds algae".split()
    return [
        Pair(f"What does the {a} eat {n}?", f"The {a} {n} eats {f}. It lives far away.", "t", 0)
        for n in range(3)
        for a, f in zip(animals, foods, strict=True)
    ]


@pytest.mark.parametrize("join", [0, 1])
def test_the_whole_chain_ends_in_models_that_load(own_pairs, tmp_path, join):
    from secondpass import CrossEncoder

    build_corpus(own_pairs).save(tmp_path / "data")
    torch.manual_seed(0)
    tensors = Ranker(CHAIN.shape).tensors()
    recipe = late(CHAIN, join) if join else CHAIN
    start = chain.Start(tensors, tensors)
    run = chain.Chain.open(recipe, tmp_path / "data", tmp_path / "work", start, 60)
    assert run.run()
    lines = (tmp_path / "work/log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    delivered = [each["model"] for each in events if each.get("event") == "delivered"]
    assert delivered == (["base"] if join else ["base", "small"])
    for name in () if join else delivered:
        parcel.unpack(tmp_path / "work/parcels" / name, tmp_path / name)
        model = CrossEncoder.load(tmp_path / name, backend="numpy")
        assert len(model.rerank("What eats bamboo?", ["The panda.", "水草"])) == 2
