"""The commands that made the bundled model, on a model of two layers: what they write is loaded."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes.bert import Ranker, Shape
from recipes.corpus import Corpus
from recipes.prepare import QUESTION, TOKENIZER, Pair, build_corpus
from recipes.upper import Asked, packed
from tokenizers import Tokenizer

from recipes import late
from secondpass import CrossEncoder
from secondpass.engine.compute import Compute

LAYERS, JOIN = 2, 1
THINGS = "pandas rivers bridges violins harbours glaciers orchards lanterns comets kettles".split()
FACTS = "eat bamboo; freeze in winter; are made of steel; were sold in autumn; glow at night".split(
    "; "
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The data and the start weights; a working folder that the commands went through."""
    data, work = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("work")
    pairs = [
        Pair(f"What is said of {thing} that {fact}?", f"In this town {thing} {fact}.", "asked", 0)
        for thing in THINGS
        for fact in FACTS
    ]
    corpus = build_corpus(pairs)
    corpus.held_out[::5] = True
    assert corpus.kind.tolist() == [QUESTION] * len(pairs)
    corpus.save(data)
    torch.manual_seed(2)
    model = Ranker(Shape(layers=LAYERS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    np.savez(data / "start.npz", **model.tensors())
    found = {"data": data, "work": work, "out": work / "out", "figures": work / "figures.json"}
    command("read", found)
    command("train", found, "--seconds", "2", "--checked", "4", "--rate", "1e-3")
    written = ("--checked", "4", "--calibrated", "10", "--figures", str(found["figures"]))
    command("write", found, "--out", str(found["out"]), *written)
    return found


def command(what: str, folders: dict[str, Path], *more: str) -> None:
    given = ["--data", str(folders["data"]), "--work", str(folders["work"]), "--join", str(JOIN)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["late", what, *given, "--tokens", "1024", *more])
        late.main()


def trained(folders: dict[str, Path]) -> tuple[late.Upper, dict]:
    """The upper layers that the working folder holds, and what was measured of them."""
    model = late.Upper(Shape(layers=LAYERS), JOIN)
    model.load_state_dict(late.trained(folders["work"]))
    figures = json.loads(folders["figures"].read_text(encoding="utf-8"))
    return model, figures


def test_the_written_folder_gives_the_logits_of_training_on_its_line(folders):
    model, figures = trained(folders)
    corpus, read = Corpus.load(folders["work"] / "data"), late.read_of(folders["work"])
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    query = 7
    texts = [tokenizer.decode(corpus.passages[at].tolist()) for at in range(20)]
    whole = [
        at
        for at, text in enumerate(texts)
        if tokenizer.encode(text, add_special_tokens=False).ids == corpus.passages[at].tolist()
    ]
    assert len(whole) > 10

    asked = Asked(query, False, np.array(whole), np.zeros(len(whole), np.float32))
    with torch.no_grad():
        logits = model(packed([asked], read), late.CPU_KERNELS).numpy()
    a, b = figures["line"]
    engine = CrossEncoder.load(folders["out"], compute=Compute(precision="fp32"))
    question = tokenizer.decode(corpus.queries[query].tolist())
    scored = sorted(engine.rerank(question, [texts[at] for at in whole]), key=lambda r: r.index)
    found = np.array([each.score for each in scored])

    assert np.ptp(logits) > 0.3
    assert found == pytest.approx(a * logits + b, abs=0.03 * abs(a) * float(np.ptp(logits)) + 0.02)


def test_what_was_measured_is_kept_with_the_length_of_the_training(folders):
    _, figures = trained(folders)

    assert figures["steps"] > 0
    assert figures["seconds"] >= 2
    assert figures["step_tokens"] == 1024
    for name in ("late", "cosine", "mixture"):
        assert 0 <= figures[name] <= 1
    assert 0 <= figures["error"] <= 1


def test_a_run_goes_on_from_another_ones_weights(folders):
    model, _ = trained(folders)
    args = Namespace(
        start=None, data=folders["data"], join=JOIN, teacher=None, after=folders["work"]
    )

    begun = late.model_of(args).state_dict()

    assert all(torch.equal(value, begun[name]) for name, value in model.state_dict().items())


def test_training_that_has_not_begun_is_nothing_to_go_on_from(tmp_path):
    with pytest.raises(SystemExit, match="run `train` first"):
        late.trained(tmp_path)
