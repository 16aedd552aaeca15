"""Portions of files, and a second bi-encoder whose word counts where it knows the language."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes.corpus import CHINESE
from recipes.mine import Legs, Lexical, Mining, Second, mine, standard, with_second
from recipes.prepare import TOKENIZER, Portion, read_pairs
from recipes.second import read_second, vectors
from tokenizers import Tokenizer

from secondpass import BiEncoder

CPU = torch.device("cpu")


def unit_rows(seed: int, count: int) -> torch.Tensor:
    rows = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return (rows / rows.norm(dim=1, keepdim=True)).half()


def test_a_portion_takes_what_its_file_is_allowed_and_another_one_other_rows(tmp_path):
    files = []
    for name in ("medquad", "openstax", "keps", "laws_zh"):
        rows = [{"query": f"q{at}", "positive": "p", "source": name} for at in range(100)]
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        files.append(path)

    def taken(portion: Portion | None) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {path.name.partition(".")[0]: [] for path in files}
        for pair in read_pairs(files, portion):
            found[pair.file].append(pair.query)
        return found

    assert {name: len(rows) for name, rows in taken(None).items()} == dict.fromkeys(
        ("medquad", "openstax", "keps", "laws_zh"), 100
    )
    counts = {"openstax": 50, "laws_zh": 0}
    first = taken(Portion(20, 10, counts))
    assert {name: len(rows) for name, rows in first.items()} == {
        "medquad": 20,  # questions
        "openstax": 50,
        "keps": 10,  # headings
        "laws_zh": 0,
    }
    second = taken(Portion(20, 10, counts, shift=1))
    for name, rows in second.items():
        assert len(rows) == len(first[name])
        assert not set(rows) & set(first[name])


def test_a_second_opinion_counts_as_much_as_each_of_the_others_where_it_is_asked():
    mixed = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    asked = torch.tensor([False, True, False, True])
    second = Second(unit_rows(2, 9), unit_rows(3, 4), asked)
    found = torch.tensor([[0, 3, 5, 7, 8], [1, 2, 2, 4, 6]])
    counted = torch.tensor([[True] * 5, [True, True, False, True, True]])

    heard = with_second(mixed, second, np.array([2, 3]), found, counted)

    assert torch.equal(heard[0], mixed[0])
    cosines = second.passages[found[1]].float() @ second.queries[3].float()
    expected = (mixed[1] + standard(cosines[None], counted[1:])[0]) * 2 / 3
    assert torch.allclose(heard[1], expected)


def test_mining_sorts_by_three_opinions(corpus):
    sides = unit_rows(4, 40), unit_rows(5, 60)
    lexical = Lexical.build(corpus, CPU)
    mining = Mining(depth=6, kept=9, block=16, near_duplicate=2.0)
    queries = np.arange(60)
    two = mine(corpus, Legs(lexical, *sides), mining, queries=queries)
    asked = torch.arange(60) % 2 == 0
    second = Second(unit_rows(6, 40), unit_rows(7, 60), asked)
    three = mine(corpus, Legs(lexical, *sides, second), mining, queries=queries)

    for at in range(60):
        same = np.array_equal(two.candidates[at], three.candidates[at])
        assert same or bool(asked[at])
        assert (np.diff(three.teacher[at][three.candidates[at] >= 0].astype(float)) <= 0).all()
    assert any(not np.array_equal(two.candidates[at], three.candidates[at]) for at in range(60))


def test_texts_are_read_back_from_tokens_and_only_english_ones(corpus, bi_encoder, tmp_path):
    folder = bi_encoder()
    language = np.asarray(corpus.language).copy()
    language[:10] = CHINESE
    passage_language = np.asarray(corpus.passage_language).copy()
    passage_language[corpus.positive[20]] = CHINESE
    corpus = replace(corpus, language=language, passage_language=passage_language)

    second = read_second(corpus, folder, tmp_path / "second")

    asked = [at for at in range(10, 60) if corpus.positive[at] != corpus.positive[20]]
    assert np.flatnonzero(second.asked.numpy()).tolist() == asked
    assert not second.queries[:10].any()
    assert not second.passages[corpus.positive[20]].any()
    decode = Tokenizer.from_file(str(TOKENIZER)).decode
    encoder = BiEncoder.load(folder)
    for made, rows, at, encode in (
        (second.queries, corpus.queries, 30, encoder.encode_queries),
        (second.passages, corpus.passages, int(corpus.positive[30]), encoder.encode_passages),
    ):
        expected = encode([decode(rows[at].tolist())])[0]
        assert made[at].numpy() == pytest.approx(expected, abs=2e-3)
    again = read_second(corpus, tmp_path / "gone", tmp_path / "second")  # kept: nothing is read
    assert torch.equal(again.passages, second.passages)


def test_a_corpus_without_english_is_said_to_be_one(corpus, bi_encoder):
    encoder = BiEncoder.load(bi_encoder())
    with pytest.raises(ValueError, match="English"):
        vectors(encoder, corpus.queries, np.zeros(60, bool), as_query=True)
