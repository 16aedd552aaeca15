"""Late-join models: both backends against PyTorch, and the same to the last bit in any company."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from late_join import pair_logits, row_logits
from secondpass.engine import BiEncoder, Compute, CrossEncoder, Encoding, Limits
from secondpass.engine.backends.table import build_backend, build_vector_backend
from secondpass.engine.batching import Row, pack
from secondpass.engine.checkpoint import canonical_name, load_weights
from secondpass.engine.encode import calibration_rows
from secondpass.engine.examine import examine
from secondpass.engine.export import export, original_name
from secondpass.engine.outliers import MOST_ERROR, calibrate, logit_error
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, ModelError
from unit.engine.test_numpy_backend import PAIRS

KERNELS = ()
if find_spec("secondpass._native") is not None:
    from secondpass._native import kernel_names

    KERNELS = tuple(kernel_names())
EXACT = [("numpy", "auto"), *(("native", name) for name in KERNELS)]
SIDES = st.lists(st.integers(0, 60), min_size=1, max_size=20)


def build(folder, backend="native", precision="fp32", instruction_set="auto", threads=2):
    spec = ModelSpec.read(folder)
    compute = Compute(precision, threads, instruction_set) if backend == "native" else None
    return build_backend(backend, spec, load_weights(folder, spec), compute)


def row(query, passage):
    types = [0] * len(query) + [1] * len(passage)
    return Row(np.array([*query, *passage], np.int32), np.array(types, np.int32))


def random_sides(count, seed=0, longest=32):
    """Pairs of sides, many of which have a query or a passage in common."""
    rng = np.random.default_rng(seed)
    queries, passages = (
        [rng.integers(0, 90, rng.integers(1, longest)).tolist() for _ in range(part)]
        for part in (3, count // 2 + 1)
    )
    return [(queries[at % 3], passages[rng.integers(len(passages))]) for at in range(count)]


def rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def reconfigure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def own(late_join, tmp_path):
    """A copy that the test may change."""
    folder = tmp_path / "own"
    folder.mkdir()
    for path in late_join().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(("backend", "instruction_set"), EXACT)
@pytest.mark.parametrize("join_layer", [1, 2, 3])
def test_fp32_logits_equal_those_of_pytorch(join_layer, backend, instruction_set, late_join):
    folder = late_join(join_layer=join_layer)
    expected = pair_logits(folder, PAIRS)

    compute = Compute("fp32", instruction_set=instruction_set)
    logits = CrossEncoder.load(folder, backend=backend, compute=compute).score(PAIRS)

    assert np.ptp(expected) > 0.1  # else the comparison would say nothing
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("backend", "instruction_set"), EXACT)
def test_odd_shapes_and_shared_sides_are_exact(backend, instruction_set, late_join):
    folder = late_join(hidden_size=36, num_attention_heads=3, intermediate_size=50)
    sides = [*random_sides(30), ([5], [5]), ([7], [8]), ([5] * 63, [9]), ([9], [5] * 63)]
    expected = row_logits(folder, sides)

    logits = build(folder, backend, instruction_set=instruction_set).forward(
        pack([row(*pair) for pair in sides])
    )

    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("instruction_set", KERNELS)
def test_int8_logits_are_close_to_fp32(instruction_set, late_join):
    rows = pack([row(*pair) for pair in random_sides(60)])
    exact = build(late_join(), "numpy").forward(rows)

    logits = build(late_join(), "native", "int8", instruction_set).forward(rows)

    assert np.abs(logits - exact).max() < 0.25
    assert np.sqrt(np.mean((logits - exact) ** 2)) < 0.25 * exact.std()


@pytest.fixture(scope="module")
def companies(late_join):
    """Backends of one model that must agree to the last bit, kind by kind."""
    native = [
        [build(late_join(), "native", precision, name, threads) for threads in (1, 2, 5)]
        for precision in ("fp32", "int8")
        for name in KERNELS
    ]
    return [[build(late_join(), "numpy")] * 3, *native]


@settings(max_examples=15)
@given(
    queries=st.lists(SIDES, min_size=1, max_size=3),
    passages=st.lists(SIDES, min_size=1, max_size=12),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_logit_is_the_same_to_the_last_bit_in_any_company(companies, queries, passages, shuffle):
    rows = [row(query, passage) for query in queries for passage in passages]
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    for one, two, five in companies:
        together = one.forward(pack(rows))
        alone = np.concatenate([two.forward(pack([each])) for each in rows])
        turned = five.forward(pack([rows[at] for at in order]))
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(turned, together[order])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_batches_and_order_leave_every_bit(precision, late_join):
    if not KERNELS:
        pytest.skip("built without a C++ compiler")
    texts = [f"panda {word} 大熊猫 " * (1 + at % 5) for at, word in enumerate("abcdefghijkl")]
    scores = []
    for batch_tokens in (1, 50, 8192):
        limits = Limits(batch_tokens=batch_tokens)
        with CrossEncoder.load(late_join(), limits=limits, compute=Compute(precision, 2)) as model:
            scores.append({line.index: line.score for line in model.rerank("a panda?", texts)})
            turned = model.rerank("a panda?", texts[::-1])
        assert {len(texts) - 1 - line.index: line.score for line in turned} == scores[-1]

    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_a_long_text_is_read_by_windows(backend, late_join):
    text = "why not? " * 20 + "The giant panda is a bear. " + "lorem ipsum dolor. " * 20
    with CrossEncoder.load(late_join(), backend=backend, compute=Compute("fp32")) as model:
        (line,) = model.rerank("a panda?", [text])
        tokens = len(model.token_spans(text))

    assert tokens > 64
    assert line.windows > 1
    assert line.window is not None
    best = text[line.window.start : line.window.end]
    np.testing.assert_allclose(
        line.score, pair_logits(late_join(), [("a panda?", best)])[0], atol=1e-3
    )


@pytest.mark.parametrize(
    "types", [[0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 2, 1], [0, 1, 0], [0, -1, 1]]
)
@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_types_that_mark_no_two_sides_are_refused(backend, types, late_join):
    good = row([2, 5], [3])
    bad = Row(np.array([2, 5, 3], np.int32), np.array(types, np.int32))
    chosen = "native" if backend == "auto" and KERNELS else "numpy"

    with pytest.raises(InvalidInput, match=r"token types of row 1 .*expected 0 for the query's"):
        build(late_join(), chosen).forward(pack([good, bad]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"join_layer": 4}, "join_layer=4 and num_hidden_layers=4"),
        ({"join_layer": -1}, "join_layer=-1"),
        ({"join_layer": 0}, "'late-join-bert'; expected a layer between"),
        ({"join_layer": None}, "join_layer=0"),
        ({"join_layer": "late"}, "wrong type"),
        ({"join_layer": 1}, r"lacks the tensor apart\.layer\.1\."),
        ({"join_layer": 2, "model_type": "xlm-roberta"}, "'xlm-roberta'; expected it of bert or"),
        ({"join_layer": 0, "model_type": "bert"}, r"a tensor of a late-join model, but"),
    ],
)
def test_a_join_layer_that_does_not_fit_is_named(config, message, own):
    reconfigure(own, **config)

    with pytest.raises(ModelError, match=message):
        CrossEncoder.load(own)


@pytest.mark.parametrize(
    "name",
    [
        "bert.join.cosine",
        "bert.join.sides.weight",
        "bert.apart.layer.3.output.dense.bias",
        "bert.embeddings.token_type_embeddings.weight",
    ],
)
def test_a_missing_tensor_is_named(name, own):
    rewrite(own, lambda tensors: {key: value for key, value in tensors.items() if key != name})

    with pytest.raises(ModelError, match=f"lacks the tensor {name.removeprefix('bert.')}"):
        CrossEncoder.load(own)


def test_a_bert_with_a_join_layer_is_one_too(own, late_join):
    expected = CrossEncoder.load(late_join(), backend="numpy").score(PAIRS)
    reconfigure(own, model_type="bert")

    np.testing.assert_array_equal(CrossEncoder.load(own, backend="numpy").score(PAIRS), expected)


def test_a_second_token_type_is_never_added(own, late_join):
    expected = CrossEncoder.load(late_join(), backend="numpy").score(PAIRS)
    name = "bert.embeddings.token_type_embeddings.weight"
    rewrite(
        own, lambda tensors: tensors | {name: np.concatenate([tensors[name], 9 + tensors[name]])}
    )
    reconfigure(own, type_vocab_size=2)

    for backend in ("numpy", "auto"):
        logits = CrossEncoder.load(own, backend=backend, compute=Compute("fp32")).score(PAIRS)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_tokenizer_that_marks_no_sides_is_refused(own, checkpoint):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (own / name).write_bytes((checkpoint("bert") / name).read_bytes())
    assert np.isfinite(CrossEncoder.load(own).score(PAIRS)).all()  # [CLS] a [SEP] and b [SEP] do
    tokenizer = json.loads((own / "tokenizer.json").read_text())
    for part in tokenizer["post_processor"]["pair"]:
        for value in part.values():
            value["type_id"] = 0
    (own / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(ModelError, match="as a late-join model reads them"):
        CrossEncoder.load(own)
    assert examine(own)[-1].subject == "tokenizer"


def test_it_is_no_bi_encoder(late_join):
    with pytest.raises(ModelError, match=r"together from layer 2 on .*CrossEncoder"):
        BiEncoder.load(late_join(), encoding=Encoding(pooling="mean"))
    spec = ModelSpec.read(late_join())
    with pytest.raises(ModelError, match="gives no vectors"):
        build_vector_backend("numpy", spec, load_weights(late_join(), spec), "mean")


def test_an_export_keeps_the_join_exact_and_states_outliers_of_both_stacks(late_join, tmp_path):
    small = export(late_join(), tmp_path / "small")

    spec = ModelSpec.read(small)
    before, after = load_weights(late_join(), spec), load_weights(small, spec)
    assert before.keys() == after.keys()
    for name in ("join.sides.weight", "join.cosine"):
        np.testing.assert_array_equal(before[name], after[name])
    stored = load_file(small / "model.int8.safetensors")
    assert stored["bert.apart.layer.2.intermediate.dense.weight"].dtype == np.int8
    assert stored["bert.join.sides.weight"].dtype == np.float32
    assert spec.outliers is not None
    assert np.isfinite(CrossEncoder.load(small).score(PAIRS)).all()


def test_names_go_there_and_back():
    for name in ("apart.layer.2.output.dense.weight", "join.sides.weight", "join.cosine"):
        assert canonical_name(original_name(name, "late-join-bert"), "late-join-bert") == name


def loudest(folder):
    """The same model, in which three channels behind each LayerNorm run 30 times as high."""
    loud = [3, 17, 30]

    def change(tensors):
        for name, tensor in tensors.items():
            if name.endswith("LayerNorm.weight"):
                tensor[loud] *= 30.0
            elif name.endswith("weight") and ".layer." in name:
                np.multiply(tensor, 0.3, out=tensor)
        return tensors

    rewrite(folder, change)
    return set(loud)


def test_calibration_looks_at_every_layer_of_both_stacks(own):
    loud = loudest(own)
    spec = ModelSpec.read(own)
    tokenizer = PairTokenizer.load(own, vocabulary=spec.vocabulary, two_sided=True)
    weights = load_weights(own, spec)

    found = calibrate(spec, weights, calibration_rows(tokenizer, spec))

    stacks = {"encoder": range(4), "apart": range(2, 4)}
    for stack, numbers in stacks.items():
        for number in numbers:
            activation = f"{stack}.layer.{number}.attention.self"
            # What joins is no LayerNorm's output alone: the sides' rows are added to it.
            assert loud <= set(found.spec.outliers[activation])
    numpy = build_backend("numpy", spec, weights)
    assert logit_error(found, weights, numpy) < 1e-4
    if KERNELS:
        int8 = build_backend("native", found.spec, weights, Compute("int8"))
        assert 0 < logit_error(found, weights, int8) < MOST_ERROR


def test_the_doctor_finds_nothing_amiss_and_says_where_sides_meet(late_join):
    findings = {finding.subject: finding for finding in examine(late_join())}

    assert not any(finding.amiss for finding in findings.values())
    assert "late-join-bert" in findings["config"].found
    assert "apart up to layer 2" in findings["config"].found
    assert "6 special tokens" in findings["tokenizer"].found
