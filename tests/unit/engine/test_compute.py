"""Which backend serves, in which precision, and what it says where it cannot."""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace

import pytest

from secondpass import build
from secondpass.engine import Compute, CrossEncoder
from secondpass.engine.backends import table
from secondpass.engine.backends.table import choose_backend
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput, UnknownName
from secondpass.settings import Settings


@pytest.fixture
def spec(checkpoint):
    return ModelSpec.read(checkpoint("bert"))


@pytest.fixture
def no_extension(monkeypatch):
    def refuse(name):
        if name == table.EXTENSION:
            raise ModuleNotFoundError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(table, "import_module", refuse)


def test_auto_is_native_and_int8(spec):
    pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    assert choose_backend("auto", spec, Compute()) == ("native", Compute("int8"))
    assert choose_backend("native", spec, Compute("fp32")) == ("native", Compute("fp32"))
    assert choose_backend("numpy", spec, Compute()) == ("numpy", Compute("fp32"))


def test_without_the_extension_numpy_serves_and_says_so(spec, no_extension, caplog):
    with caplog.at_level(logging.WARNING):
        chosen = choose_backend("auto", spec, Compute(threads=2))

    assert chosen == ("numpy", Compute("fp32"))
    assert "numpy backend takes the place" in caplog.text
    with pytest.raises(InvalidInput, match=r"'native' cannot serve: .* without a C\+\+"):
        choose_backend("native", spec, Compute())
    with pytest.raises(InvalidInput, match="precision='int8' needs the native backend"):
        choose_backend("auto", spec, Compute("int8"))


def test_a_shape_that_native_cannot_take_is_named(spec, caplog):
    pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    wide = replace(spec, intermediate=70_000)

    assert choose_backend("auto", wide, Compute())[0] == "numpy"
    assert "layers wider than 65536" in caplog.text
    assert choose_backend("auto", wide, Compute("fp32"))[0] == "native"


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (Compute("int8"), "precision='int8' needs the native backend"),
        (Compute(threads=3), "threads=3 needs"),
        (Compute(instruction_set="avx2"), "instruction_set='avx2' needs"),
    ],
)
def test_numpy_refuses_what_it_does_not_have(compute, message, spec):
    with pytest.raises(InvalidInput, match=message):
        choose_backend("numpy", spec, compute)


def test_senseless_choices_are_refused():
    with pytest.raises(UnknownName, match="unknown precision 'int4'; choose from auto, fp32, int8"):
        Compute("int4")
    with pytest.raises(InvalidInput, match="threads=0"):
        Compute(threads=0)


def test_settings_reach_the_engine(checkpoint):
    pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    environment = {
        "SECONDPASS_INSTRUCTION_SET": "portable",
        "SECONDPASS_PRECISION": "fp32",
        "SECONDPASS_THREADS": "1",
    }
    chosen = Settings.read({"model": str(checkpoint("bert"))}, environment)

    model = build.reranker(chosen)

    assert isinstance(model, CrossEncoder)
    assert (model.precision, model.backend.instruction_set) == ("fp32", "portable")
