"""Statistics, the engines' processes, the report and the chart."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from secondpass import build
from secondpass.engine import Compute, CrossEncoder
from secondpass.errors import EngineError, InvalidInput
from secondpass.evaluation import Engine, Setup, Workload, measure, report
from secondpass.evaluation.chart import draw
from secondpass.evaluation.peers.table import PEERS, Task, load
from secondpass.evaluation.plain import plain_checkpoint
from secondpass.evaluation.processes import Home, Process, own_home
from secondpass.evaluation.speed import Measured, figures

FP32 = Compute("fp32")
QUERY, TEXTS = "what is a panda?", ("a bear of China", "大熊猫是中国特有的", "no such thing")


def measured(ms: list[float], logits: list[float]) -> Measured:
    return Measured("x", "", {}, 0.0, None, None, tuple(ms), tuple(logits))


def test_ratios_are_taken_within_a_round():
    ours, theirs = measured([1, 10, 2], [0, 1]), measured([3, 20, 6], [0, 1])

    found = figures(theirs, ours, [0, 1])
    assert (found.median_ms, found.min_ms, found.ratio, found.p95_ms) == (6, 3, 3, None)
    assert found.texts_s == pytest.approx(2 / 0.006)


def test_the_95th_percentile_is_a_time_that_was_measured():
    one = measured([float(n) for n in range(20, 0, -1)], [0, 1])

    assert figures(one, one, [0, 1]).p95_ms == 19


def test_agreement_is_with_the_reference():
    one = measured([1], [0.0, 2.0, 4.0])

    found = figures(one, one, [1.0, 2.0, 3.0])
    assert found.correlation == pytest.approx(1)
    assert found.largest_difference == 1
    assert figures(one, one, [1.0, 1.0, 1.0]).correlation is None


def test_an_engine_that_computes_something_else_has_no_ratio():
    reference = [0.0, 1.0, 2.0, 3.0]
    same, other = measured([2], [0.1, 1.0, 2.0, 3.1]), measured([2], [1.0, 0.0, 3.0, 2.0])

    assert figures(same, same, reference).remark is None
    found = figures(other, same, reference)
    assert (found.ratio, found.median_ms) == (None, 2)
    assert found.remark == "no ratio: correlation with float32 0.60 < 0.95"


@pytest.fixture
def setup(checkpoint, tmp_path) -> Setup:
    folder = checkpoint("bert")
    return Setup(folder, folder, threads=1, max_tokens=64, cache=tmp_path)


@pytest.fixture
def workload() -> Workload:
    return Workload("given", QUERY, TEXTS, (12, 12, 12))


def test_engines_are_measured_and_refused_in_processes_of_their_own(setup, workload, tmp_path):
    lost = tmp_path / "python"
    lost.write_text("#!/bin/sh\necho 'ValueError: no such model' >&2\nexit 3\n")
    lost.chmod(0o755)
    here = own_home(dict(os.environ))
    engines = [
        Engine("secondpass-fp32", here),
        Engine("fastembed", Home(str(lost), dict(os.environ))),
    ]
    result = measure(engines, setup, workload, rounds=2)

    expected = CrossEncoder.load(setup.model, compute=FP32).score([(QUERY, text) for text in TEXTS])
    assert [one.name for one in result.measured] == ["secondpass-fp32"]
    np.testing.assert_allclose(result.reference, expected, atol=1e-5)
    assert len(result.measured[0].ms) == 2
    assert result.refused == {
        "fastembed": "the process ended with code 3: ValueError: no such model"
    }

    found = json.loads(json.dumps(report(result, setup, workload)))
    assert {"model", "workload", "engines", "refused", "operations", "processor"} <= found.keys()
    (line,) = found["engines"]
    assert line["ratio"] == 1
    assert line["largest_difference"] == 0
    for name in ("speed.svg", "speed.html"):
        draw(found, tmp_path / name)
    words = "".join(ET.parse(tmp_path / "speed.svg").getroot().itertext())
    assert "secondpass-fp32" in words
    assert "no such model" in words
    other = {**line, "engine": "other", "ratio": None, "remark": "no ratio: it is another model"}
    draw({**found, "engines": [line, other]}, tmp_path / "speed.svg")
    words = "".join(ET.parse(tmp_path / "speed.svg").getroot().itertext())
    assert "other: no ratio: it is another model" in words
    assert "<svg" in (tmp_path / "speed.html").read_text()
    with pytest.raises(InvalidInput, match=r"ends with '\.gif'"):
        draw(found, tmp_path / "speed.gif")


def test_a_request_that_is_refused_has_its_reason(setup, tmp_path):
    process = Process(own_home(dict(os.environ)), 1)
    request = {"engine": "secondpass-fp32", "threads": 1, "max_tokens": 64, "cache": str(tmp_path)}
    try:
        with pytest.raises(EngineError, match="is no folder"):
            process.ask({**request, "model": "/no/such/folder"})
        assert process.ask({**request, "model": str(setup.model)})["load_s"] > 0
    finally:
        process.close()


def test_a_measurement_needs_rounds_and_an_engine_of_ours(setup, workload):
    with pytest.raises(InvalidInput, match="rounds=0"):
        measure([], setup, workload, 0)
    with pytest.raises(InvalidInput, match="no engine of secondpass"):
        measure([], setup, workload, 1)


def test_the_plain_copy_scores_as_the_int8_file_does(checkpoint, tmp_path):
    from secondpass.engine.export import export

    small = export(checkpoint("bert"), tmp_path / "int8")
    plain = plain_checkpoint(small, tmp_path)

    assert plain_checkpoint(checkpoint("bert"), tmp_path) == checkpoint("bert")
    assert plain_checkpoint(small, tmp_path) == plain
    pairs = [(QUERY, text) for text in TEXTS]
    with (
        CrossEncoder.load(small, compute=FP32) as one,
        CrossEncoder.load(plain, compute=FP32) as other,
    ):
        np.testing.assert_allclose(one.score(pairs), other.score(pairs), atol=1e-5)


def installed(name: str) -> bool:
    return all(find_spec(module.partition(".")[0]) for module in PEERS[name].modules)


# The peers that share this environment; most have one of their own.
@pytest.mark.parametrize("name", ["secondpass-fp32", *filter(installed, PEERS)])
def test_an_engine_computes_what_we_compute(name, checkpoint, tmp_path):
    folder: Path = checkpoint("bert")
    peer = load(name, Task(folder, threads=1, max_tokens=64, cache=tmp_path))

    ours = CrossEncoder.load(folder, compute=FP32).score([(QUERY, text) for text in TEXTS])
    assert peer.policy
    np.testing.assert_allclose(peer.logits(QUERY, TEXTS), ours, atol=0.3 * np.ptp(ours))


def test_the_settings_give_the_setup(checkpoint, tmp_path):
    chosen = build.settings({"model": str(checkpoint("bert")), "threads": 1})
    found = build.speed_setup(chosen, tmp_path)

    assert (found.threads, found.max_tokens) == (1, 64)
    assert found.model == found.plain == checkpoint("bert").resolve()


def test_time_that_is_over_ends_the_rounds_but_not_the_first(setup, workload):
    engines = [Engine("secondpass-fp32", own_home(dict(os.environ)))]
    result = measure(engines, setup, workload, rounds=50, seconds=0)

    assert len(result.measured[0].ms) == 1
