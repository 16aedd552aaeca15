"""The guest in place of sentence-transformers' CrossEncoder, against that class itself."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
host = pytest.importorskip("sentence_transformers")

from sentence_transformers.cross_encoder import evaluation  # noqa: E402

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest  # noqa: E402
from secondpass.engine import CrossEncoder as Engine  # noqa: E402
from secondpass.errors import InvalidInput, ModelError  # noqa: E402
from secondpass.integrations.sentence_transformers import CrossEncoder, Identity, Sigmoid  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [(QUERY, text) for text in TEXTS]
EXACT = {"dtype": "float32"}
VERSION = tuple(int(part) for part in host.__version__.split(".")[:2])
# The guest is as the newest. Before 6.2 the host took the softmax over the one label, which is 1 for
# every pair, in `rank` too, and computed in one precision.
NEWEST = VERSION >= (6, 2)
SOFTMAX = [{"apply_softmax": True}] if NEWEST else []
SINCE = set() if NEWEST else {"keep_in_fp32_modules"}
UNTIL = set() if NEWEST else {("rank", "apply_softmax")}


@pytest.fixture(scope="module")
def ours(tiny) -> CrossEncoder:
    return CrossEncoder(str(tiny), model_kwargs=EXACT)


@pytest.fixture(scope="module")
def theirs(tiny):
    return host.CrossEncoder(str(tiny), device="cpu", local_files_only=True)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_the_guest_keeps(check, model):
    guest = CrossEncoder(model)

    def rerank(query, texts):
        return [(line["corpus_id"], line["score"]) for line in guest.rank(query, texts)]

    check(Guest(rerank, score_of=lambda line: float(np.float32(line.probability))), model)


def same(found, wanted) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
        return
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"batch_size": 2},
        {"activation_fn": torch.nn.Identity()},
        {"activation_fn": torch.nn.Tanh(), "convert_to_tensor": True},
        *SOFTMAX,
        {"show_progress_bar": False},
        {"prompt": "find: "},
        {"device": "cpu"},
        {"chunk_size": 3},
        {"processing_kwargs": {"text": {"max_length": 60, "truncation": True}}},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "inputs",
    [PAIRS, [list(pair) for pair in PAIRS], np.array(PAIRS), PAIRS[0], list(PAIRS[1])],
    ids=["tuples", "lists", "array", "pair", "pair as a list"],
)
def test_predict_gives_what_the_host_gives(ours, theirs, inputs, options):
    same(ours.predict(inputs, **options), theirs.predict(inputs, **options))


def test_the_softmax_of_one_label_leaves_the_scores(ours):
    same(ours.predict(PAIRS, apply_softmax=True), ours.predict(PAIRS))


def test_no_pair_gives_no_score(ours, theirs):
    assert ours.predict([]).shape == theirs.predict([]).shape == (0,)
    assert ours.predict([], convert_to_tensor=True).shape == (0,)
    assert ours.predict([], convert_to_numpy=False) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 2},
        {"top_k": 0},
        {"top_k": -1},
        {"return_documents": True},
        {"activation_fn": torch.nn.Identity(), "batch_size": 1},
        {"prompt": "find: ", "top_k": 3},
    ],
    ids=str,
)
def test_rank_gives_what_the_host_gives(ours, theirs, options):
    found, wanted = (one.rank(QUERY, TEXTS, **options) for one in (ours, theirs))

    assert [line["corpus_id"] for line in found] == [line["corpus_id"] for line in wanted]
    for line, other in zip(found, wanted, strict=True):
        assert line == other | {"score": pytest.approx(other["score"], abs=2e-5)}
        assert [type(value) for value in line.values()] == [type(each) for each in other.values()]


def test_texts_of_equal_rounded_sigmoids_are_told_apart_by_their_logits(model):
    class Sure:
        def forward(self, batch):
            return np.arange(len(batch.lengths), dtype=np.float32) + 30

    from dataclasses import replace

    guest = CrossEncoder(replace(model, backend=Sure()))
    texts = ["panda", "panda is", "panda is a"]

    answer = guest.rank(QUERY, texts)

    assert {line["score"] for line in answer} == {1.0}
    assert len(answer) == 3


def test_the_signatures_are_those_of_the_host():
    for name in ("__init__", "predict", "rank"):
        theirs, ours = (
            inspect.signature(inspect.unwrap(getattr(kind, name))).parameters
            for kind in (host.CrossEncoder, CrossEncoder)
        )
        shared = [one for one in theirs if one != "kwargs" and (name, one) not in UNTIL]
        assert [one for one in ours if one not in {"processing_kwargs", *SINCE}] == shared, name
        for one in shared:
            wanted = theirs[one]
            assert (ours[one].default, ours[one].kind) == (wanted.default, wanted.kind), (name, one)


def test_the_default_activation_is_what_the_checkpoint_names(own_checkpoint):
    folder = str(own_checkpoint(sbert_ce_default_activation_function="torch.nn.Identity"))
    ours, theirs = CrossEncoder(folder, model_kwargs=EXACT), host.CrossEncoder(folder, device="cpu")

    same(ours.predict(PAIRS), theirs.predict(PAIRS))
    assert ours.activation_fn is Identity
    ours.activation_fn = Sigmoid
    theirs.activation_fn = torch.nn.Sigmoid()
    same(ours.predict(PAIRS), theirs.predict(PAIRS))


def test_prompts_go_before_the_query(tiny, theirs):
    prompts = {"web": "search: ", "code": "code: "}
    options = {"prompts": prompts, "default_prompt_name": "web"}
    guest = CrossEncoder(str(tiny), model_kwargs=EXACT, **options)
    theirs = host.CrossEncoder(str(tiny), device="cpu", **options)

    same(guest.predict(PAIRS), theirs.predict(PAIRS))
    same(guest.predict(PAIRS, prompt_name="code"), theirs.predict(PAIRS, prompt_name="code"))
    with pytest.raises(InvalidInput, match="'law' is not known; expected one of"):
        guest.predict(PAIRS, prompt_name="law")


SAMPLES = [
    {"query": QUERY, "positive": [TEXTS[1], TEXTS[4]], "negative": [TEXTS[0], TEXTS[3]]},
    {"query": "when does the office open?", "positive": [TEXTS[3]], "negative": TEXTS[:3]},
]
RANKED = [{"query": QUERY, "positive": [TEXTS[1]], "documents": TEXTS}]


@pytest.mark.parametrize(
    "evaluator",
    [
        evaluation.CrossEncoderRerankingEvaluator(SAMPLES, name="ours"),
        evaluation.CrossEncoderRerankingEvaluator(RANKED, name="ranked", at_k=3),
        evaluation.CrossEncoderClassificationEvaluator(PAIRS, [0, 1, 0, 0, 1], name="labels"),
        evaluation.CrossEncoderCorrelationEvaluator(PAIRS, [0, 1, 0.2, 0, 0.9], name="scores"),
    ],
    ids=lambda evaluator: evaluator.name,
)
def test_the_evaluators_of_the_host_take_it(evaluator, ours, theirs, tmp_path):
    found = evaluator(ours, output_path=str(tmp_path))

    assert found == pytest.approx(evaluator(theirs), abs=1e-4)
    assert evaluator.primary_metric in found
    assert ours.model_card_data.evaluations
    assert len(list(tmp_path.iterdir())) == 1


def test_an_old_name_is_taken_with_a_warning(tiny, ours):
    with pytest.warns(DeprecationWarning, match="'model_name' is deprecated; its name is 'model_n"):
        CrossEncoder(model_name=str(tiny))
    with pytest.warns(DeprecationWarning, match="'default_activation_function'"):
        guest = CrossEncoder(str(tiny), default_activation_function=torch.nn.Identity())
    assert isinstance(guest.activation_fn, torch.nn.Identity)
    with pytest.warns(DeprecationWarning, match="'sentences' is deprecated"):
        np.testing.assert_array_equal(ours.predict(sentences=PAIRS), ours.predict(PAIRS))
    with pytest.warns(DeprecationWarning, match="'num_workers' is deprecated and has no effect"):
        ours.predict(PAIRS, num_workers=4)
    with pytest.warns(DeprecationWarning, match="'convert_to_numpy' is deprecated and has no eff"):
        assert ours.rank(QUERY, TEXTS, convert_to_numpy=True) == ours.rank(QUERY, TEXTS)
    with pytest.warns(DeprecationWarning, match="'max_length' is deprecated; its name is"):
        assert ours.max_length == ours.max_seq_length == 64


def test_arguments_that_had_a_position_once_still_have_it(tiny):
    with pytest.warns(DeprecationWarning, match="by position is deprecated") as warned:
        guest = CrossEncoder(str(tiny), 1, 40)

    assert len(warned) == 2
    assert warned[0].filename == __file__
    assert (guest.num_labels, guest.max_seq_length) == (1, 40)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda"}, "the device is 'cuda'; expected 'cpu' or None"),
        ({"device": torch.device("mps")}, "the device is 'mps'"),
        ({"backend": "openvino"}, "the backend 'openvino' is not here; expected one of torch"),
        ({"num_labels": 3}, "num_labels=3; expected 1 or None"),
        ({"config_kwargs": {"num_labels": 2}}, "num_labels=2"),
        ({"config_kwargs": {"hidden_size": 2}}, "config_kwargs has hidden_size"),
        ({"modules": [torch.nn.Identity()]}, "modules is given, which secondpass's"),
        ({"model_kwargs": {"device_map": "auto"}}, "model_kwargs has device_map"),
        ({"model_kwargs": {"dtype": torch.float16}}, "dtype=float16; expected one of auto"),
        ({"processor_kwargs": {"use_fast": False}}, "processor_kwargs has use_fast"),
        ({"keep_in_fp32_modules": ["0"]}, "keep_in_fp32_modules is given"),
        ({"max_length": 4096}, "max_tokens=4096 exceeds the model's limit of 64"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_an_error_that_says_so(tiny, options, said):
    with pytest.raises(InvalidInput, match=said):
        CrossEncoder(str(tiny), **options)


def test_no_model_is_an_error(tmp_path):
    with pytest.raises(InvalidInput, match="model_name_or_path is None"):
        CrossEncoder()
    with pytest.raises(ModelError, match="is no folder and no bundled model"):
        CrossEncoder(str(tmp_path / "none"))


def test_what_the_host_has_and_the_guest_has_not_is_said(ours):
    with pytest.raises(AttributeError, match="no attribute 'fit': it trains and saves no model"):
        ours.fit()
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        _ = ours.nothing
    assert not hasattr(ours, "tokenizer")


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        ("a text", {}, "'a text' is no pair"),
        ({"query": "a"}, {}, "is no pair"),
        ([QUERY, TEXTS[0], TEXTS[1]], {}, "pair 0 is .* expected .query, text."),
        ([(QUERY, 1)], {}, "text 0 is a int; expected str"),
        (PAIRS, {"batch_size": 0}, "batch_size=0"),
        (PAIRS, {"pool": {"processes": []}}, "pool is given"),
        (PAIRS, {"device": ["cuda:0", "cuda:1"]}, "the device is 'cuda:0'"),
        (PAIRS, {"processing_kwargs": {"image": {}}}, "processing_kwargs has image"),
        (PAIRS, {"activation_fn": lambda scores: scores[:2]}, "made 2 scores of 5 logits"),
    ],
)
def test_a_call_that_cannot_be_answered_is_an_error(ours, inputs, options, said):
    with pytest.raises(InvalidInput, match=said):
        ours.predict(inputs, **options)


def test_an_error_of_input_is_a_value_error_as_in_the_host(ours):
    with pytest.raises(ValueError, match="batch_size"):
        ours.predict(PAIRS, batch_size=-1)


def test_the_precision_is_the_dtype_asked_for(tiny):
    assert CrossEncoder(str(tiny), model_kwargs=EXACT).engine.precision == "fp32"
    assert CrossEncoder(str(tiny), model_kwargs={"dtype": torch.float32}).engine.precision == "fp32"
    with pytest.warns(DeprecationWarning, match="'automodel_args'"):
        guest = CrossEncoder(str(tiny), automodel_args={"torch_dtype": "auto"})
    assert guest.engine.precision == Engine.load(tiny).precision


def test_a_text_beyond_max_length_is_read_in_windows(tiny):
    guest = CrossEncoder(str(tiny), max_length=40, model_kwargs=EXACT)
    long = "the office opens at nine. " * 40 + TEXTS[1]

    (line,) = guest.engine.rerank(QUERY, [long])

    assert (line.windows > 1, line.truncated) == (True, False)
    assert guest.predict((QUERY, long)) == pytest.approx(line.probability)


def test_remote_code_is_never_run_and_that_is_said(tiny, caplog):
    CrossEncoder(str(tiny), trust_remote_code=True)

    assert "no code of a checkpoint is ever run" in caplog.text


def test_the_progress_bar_goes_to_stderr_and_changes_no_score(ours, capsys):
    pairs = PAIRS * 60

    shown = ours.predict(pairs, show_progress_bar=True)

    said = capsys.readouterr()
    assert "scoring" in said.err
    assert said.out == ""
    np.testing.assert_array_equal(shown, ours.predict(pairs))


def test_info_logging_shows_the_progress_bar_as_in_the_host(ours, capsys):
    name = "secondpass.integrations.sentence_transformers"
    logging.getLogger(name).setLevel(logging.INFO)
    try:
        ours.predict(PAIRS)
    finally:
        logging.getLogger(name).setLevel(logging.NOTSET)

    assert "scoring" in capsys.readouterr().err


def test_small_conveniences(ours):
    assert ours.to("cpu") is ours.eval() is ours
    assert ours.device == torch.device("cpu")
    with pytest.raises(InvalidInput, match="the device is 'cuda'"):
        ours.to("cuda")


def test_the_tutorial_runs_with_the_import_changed(shared_data):
    source = ROOT / "examples" / "guests" / "ten_lines.py"
    file = shared_data / "tutorials" / "state_of_the_union.txt"
    done = subprocess.run(
        [sys.executable, str(source), str(file), "What is the plan for the economy?"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "my plan. It will grow the economy" in done.stdout.splitlines()[0]
    assert len(source.read_text(encoding="utf-8").splitlines()) < 60
