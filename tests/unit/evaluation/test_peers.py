"""What is handed to the engines of others: batches, embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from secondpass.engine.checkpoint import load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput
from secondpass.evaluation.peers.encoding import PairEncoder, Tuning
from secondpass.evaluation.peers.gguf import embeddings
from secondpass.evaluation.peers.table import Task, load


@pytest.fixture(scope="module")
def rows(checkpoint):
    tokenizer = Tokenizer.from_file(str(checkpoint("bert") / "tokenizer.json"))
    return [tokenizer.encode("a " * count) for count in range(40)]


@given(lengths=st.lists(st.integers(0, 39), max_size=20), tokens=st.integers(1, 200))
def test_batches_hold_each_row_once_within_their_tokens(rows, lengths, tokens):
    chosen = [rows[length] for length in lengths]
    batches = Tuning(2, 1, tokens).batches(chosen)

    assert sorted(at for batch in batches for at in batch) == list(range(len(chosen)))
    for batch in batches:
        sizes = [len(chosen[at].ids) for at in batch]
        assert len(batch) == 1 or len(batch) * max(sizes) <= tokens
        assert min(sizes) >= 0.9 * max(sizes)


def test_a_row_at_a_time_is_no_batch(rows):
    tuning = Tuning(2, 1, None)

    assert tuning.batches(rows[:3]) == [[2], [1], [0]]
    assert str(tuning) == "a row at a time, 2 x 1 threads"


def test_of_few_rows_each_stream_gets_its_share(rows):
    batches = Tuning(2, 1, 1024).batches([rows[20]] * 8)

    assert [len(batch) for batch in batches] == [4, 4]


def test_the_second_token_type_is_a_second_vocabulary(checkpoint):
    folder = checkpoint("bert")
    spec = ModelSpec.read(folder)
    weights = load_weights(folder, spec)
    words, positions = embeddings(spec, weights)

    types = weights["embeddings.token_type_embeddings.weight"]
    table = weights["embeddings.word_embeddings.weight"]
    assert words.shape == (spec.token_types * spec.vocabulary, spec.hidden)
    assert positions.shape == (spec.positions, spec.hidden)
    np.testing.assert_allclose(words[spec.vocabulary + 3], table[3] + types[1], atol=1e-6)
    np.testing.assert_allclose(words[3], table[3] + types[0], atol=1e-6)


def test_positions_start_where_the_family_starts_them(checkpoint, tmp_path):
    folder = checkpoint("xlm-roberta")
    spec = ModelSpec.read(folder)
    weights = load_weights(folder, spec)
    _, positions = embeddings(spec, weights)

    first = weights["embeddings.position_embeddings.weight"][spec.padding_id + 1]
    np.testing.assert_allclose(positions[0], first)
    assert not PairEncoder.open(Task(folder, 1, 64, tmp_path)).typed


def test_a_late_join_model_is_handed_to_our_engines_only(late_join, tmp_path):
    task = Task(late_join(), 1, 96, tmp_path)

    with pytest.raises(InvalidInput, match="which the engine 'onnxruntime' cannot"):
        load("onnxruntime", task)
    assert np.isfinite(load("secondpass-fp32", task).logits("a panda?", ["a bear", "why?"])).all()
