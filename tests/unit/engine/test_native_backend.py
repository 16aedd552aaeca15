"""The native backend against transformers, against itself in other company, and against misuse."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from checkpoints import VARIANTS, build_checkpoint
from secondpass.engine import Compute, CrossEncoder
from secondpass.engine.backends.table import build_backend
from secondpass.engine.batching import Row, pack
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.export import export
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, ModelError, UnknownName
from secondpass.protocols import Batch
from unit.engine.test_numpy_backend import PAIRS, transformers_logits

native = pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
KERNELS = native.kernel_names()
ODD = {  # nothing here is a multiple of a vector
    "hidden_size": 36,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
}


def build(folder, precision="int8", instruction_set="auto", threads=2, backend="native"):
    spec = ModelSpec.read(folder)
    compute = Compute(precision, threads, instruction_set) if backend == "native" else None
    return build_backend(backend, spec, load_weights(folder, spec), compute)


def random_rows(lengths, seed=0, types=2):
    rng = np.random.default_rng(seed)
    return [
        Row(rng.integers(0, 90, n).astype(np.int32), rng.integers(0, types, n).astype(np.int32))
        for n in lengths
    ]


@pytest.fixture(scope="module")
def odd_checkpoint(tmp_path_factory):
    return build_checkpoint("bert", tmp_path_factory.mktemp("odd") / "model", **ODD)


@pytest.mark.parametrize("instruction_set", KERNELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_fp32_logits_equal_those_of_transformers(variant, instruction_set, checkpoint):
    folder = checkpoint(variant)
    compute = Compute("fp32", 2, instruction_set)

    model = CrossEncoder.load(folder, backend="native", compute=compute)

    np.testing.assert_allclose(
        model.score(PAIRS), transformers_logits(folder, PAIRS), atol=1e-4, rtol=0
    )
    assert (model.backend_name, model.precision) == ("native", "fp32")


@pytest.mark.parametrize("instruction_set", KERNELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_int8_logits_are_close_to_fp32(variant, instruction_set, checkpoint):
    # A level is 1/127 of its row's largest, so an activation and a weight are each off by up to 1/254
    # of it. Three layers of eight products add these up; the random weights are fifteen times larger
    # than those that training starts from, and saturate softmax, which makes the most of an error.
    folder = checkpoint(variant)
    rows = pack(random_rows([1, 2, 5, 9, 17, 33, 64] * 5, types=1))
    exact = build(folder, backend="numpy").forward(rows)

    logits = build(folder, "int8", instruction_set).forward(rows)

    assert np.abs(logits - exact).max() < 0.25
    assert np.sqrt(np.mean((logits - exact) ** 2)) < 0.25 * exact.std()


@pytest.mark.parametrize("instruction_set", KERNELS)
def test_all_instruction_sets_agree_on_int8(instruction_set, odd_checkpoint):
    # The sums of int8 products are exact everywhere; float32 around them differs by roundings, and
    # a rounding can move a level, which these weights make much of: int8 itself is off by .1 here.
    rows = pack(random_rows([1, 3, 8, 31, 64]))
    portable = build(odd_checkpoint, "int8", "portable").forward(rows)

    logits = build(odd_checkpoint, "int8", instruction_set).forward(rows)

    np.testing.assert_allclose(logits, portable, atol=0.1, rtol=0)


@pytest.mark.parametrize("instruction_set", KERNELS)
def test_odd_shapes_and_the_longest_rows_are_exact(instruction_set, odd_checkpoint):
    rows = pack(random_rows([*range(1, 65), 64, 64, 1, 1]))
    exact = build(odd_checkpoint, backend="numpy").forward(rows)

    logits = build(odd_checkpoint, "fp32", instruction_set).forward(rows)

    np.testing.assert_allclose(logits, exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_files_are_read_as_they_are(dtype, checkpoint, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = checkpoint("bert")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    rows = pack(random_rows([3, 20]))

    np.testing.assert_allclose(
        build(tmp_path, "fp32").forward(rows),
        build(tmp_path, backend="numpy").forward(rows),
        atol=1e-5,
    )


@pytest.fixture(scope="module")
def companies(odd_checkpoint):
    """Backends of one model that must agree to the last bit: name -> threads 1, 2 and 5."""
    return {
        (precision, name): [
            build(odd_checkpoint, precision, name, threads) for threads in (1, 2, 5)
        ]
        for precision in ("fp32", "int8")
        for name in KERNELS
    }


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=30),
    seed=st.integers(0, 9),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_logit_is_the_same_to_the_last_bit_in_any_company(companies, lengths, seed, shuffle):
    rows = random_rows(lengths, seed)
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    for one, two, five in companies.values():
        together = one.forward(pack(rows))
        alone = np.concatenate([two.forward(pack([row])) for row in rows])
        turned = five.forward(pack([rows[at] for at in order]))
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(turned, together[order])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [2, 10_000, 3]}, "token id 10000 is not in the vocabulary"),
        ({"ids": [2, -1, 3]}, "token id -1"),
        ({"types": [0, 2, 0]}, "token type 2"),
        ({"lengths": [2]}, "sum to 2"),
        ({"lengths": [4, -1]}, "negative"),
        ({"lengths": [3, 0]}, "row 1 has 0 tokens; expected 1 to 64"),
        ({"ids": [2] * 65, "types": [0] * 65, "lengths": [65]}, "65 tokens; expected 1 to 64"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(change, message, odd_checkpoint):
    parts = {"ids": [2, 5, 3], "types": [0, 0, 0], "lengths": [3], **change}
    batch = Batch(**{name: np.array(values, np.int32) for name, values in parts.items()})

    with pytest.raises(InvalidInput, match=message):
        build(odd_checkpoint).forward(batch)


def test_weights_that_are_not_finite_are_refused(odd_checkpoint):
    spec = ModelSpec.read(odd_checkpoint)
    weights = load_weights(odd_checkpoint, spec)
    name = next(name for name in weights._tensors if name.endswith("1.output.dense.weight"))
    broken = np.array(weights._tensors[name])
    broken[0, 0] = np.nan
    weights._tensors[name] = broken

    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense: a weight is not finite"):
        build_backend("native", spec, weights)


def test_stored_scales_that_are_not_finite_are_refused(odd_checkpoint, tmp_path):
    folder = export(odd_checkpoint, tmp_path / "int8")
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("output.dense.weight.scale"))
    tensors[name][3] = np.inf
    save_file(tensors, path)

    with pytest.raises(ModelError, match=r"output\.dense\.weight\.scale is not finite at row 3"):
        build(folder)


def test_more_positions_than_sums_of_int8_hold_are_refused(tmp_path):
    folder = build_checkpoint("bert", tmp_path / "long", max_position_embeddings=2**19 + 1)

    with pytest.raises(ModelError, match="524288"):
        build(folder)
    assert build(folder, "fp32").forward(pack(random_rows([4]))).shape == (1,)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_state_that_is_not_finite_reaches_the_logit(precision, odd_checkpoint):
    spec = ModelSpec.read(odd_checkpoint)
    weights = load_weights(odd_checkpoint, spec)
    name = next(name for name in weights._tensors if name.endswith("word_embeddings.weight"))
    broken = np.array(weights._tensors[name])
    broken[7] = np.inf
    weights._tensors[name] = broken
    backend = build_backend("native", spec, weights, Compute(precision))

    rows = [Row(np.array(ids, np.int32), np.zeros(len(ids), np.int32)) for ids in ([7, 3], [5, 3])]

    assert np.isfinite(backend.forward(pack(rows))).tolist() == [False, True]


def test_callers_on_many_threads_get_their_own_answers(odd_checkpoint):
    backend = build(odd_checkpoint, threads=3)
    batches = [pack(random_rows([1 + at, 40, 7 * at + 1], seed=at)) for at in range(8)]
    expected = [backend.forward(batch) for batch in batches]
    start = threading.Barrier(8)

    def ask(at):
        start.wait(timeout=30)
        return [backend.forward(batches[at]) for _ in range(20)]

    with ThreadPoolExecutor(8) as callers:
        for at, answers in enumerate(callers.map(ask, range(8))):
            for answer in answers:
                np.testing.assert_array_equal(answer, expected[at])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs an operating system that can fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_computes_with_threads_of_its_own(odd_checkpoint):
    backend = build(odd_checkpoint)
    batch = pack(random_rows([5, 60, 30]))
    expected = backend.forward(batch)

    child = os.fork()
    if child == 0:
        same = np.array_equal(backend.forward(batch), expected)
        os._exit(0 if same else 1)

    waited = threading.Timer(30, os.kill, (child, 9))
    waited.start()
    _, status = os.waitpid(child, 0)
    waited.cancel()
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_unknown_instruction_set_lists_those_of_this_machine(odd_checkpoint):
    with pytest.raises(UnknownName, match=r"unknown instruction_set 'mmx'; choose from .*portable"):
        build(odd_checkpoint, instruction_set="mmx")


def test_the_bundled_model_keeps_its_order_in_int8():
    topics = "the giant panda|a neural network|tea from China|the capital of France|量子计算".split(
        "|"
    )
    texts = "eats bamboo|learns from data|is grown in the hills|is Paris|利用量子力学的规律".split(
        "|"
    )
    pairs = [
        (f"what is {one}?", f"{two} {text}.")
        for one in topics
        for two, text in zip(topics, texts, strict=True)
    ]
    pairs += [(one, text) for one in topics for text in texts]
    exact = CrossEncoder.load("mini", compute=Compute("fp32")).score(pairs)

    logits = CrossEncoder.load("mini", compute=Compute("int8")).score(pairs)

    assert np.corrcoef(logits, exact)[0, 1] > 0.995
    assert np.abs(logits - exact).max() < 0.5
