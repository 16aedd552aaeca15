"""Every backend passes the backend suite with both heads, for every family and instruction set."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from secondpass.engine import BiEncoder, Compute, CrossEncoder
from secondpass.engine.backends.table import build_backend, build_vector_backend
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.testing import BACKEND_CHECKS, check_encoder, check_reranker, two_sided

HEADS = ("logit", "cls", "mean")


@dataclass(frozen=True, slots=True)
class Computed:
    backend: str
    compute: Compute

    def __str__(self) -> str:
        return f"{self.backend}-{self.compute.instruction_set}-{self.compute.precision}"


def all_computed():
    yield Computed("numpy", Compute("fp32"))
    if find_spec("secondpass._native") is not None:
        from secondpass._native import kernel_names

        for name in kernel_names():
            for precision in ("fp32", "int8"):
                yield Computed("native", Compute(precision, instruction_set=name))


COMPUTED = list(all_computed())


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("variant", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("computed", COMPUTED, ids=str)
def test_backend(computed, variant, head, check, checkpoint):
    folder = checkpoint(variant)
    spec = ModelSpec.read(folder)
    weights = load_weights(folder, spec)

    if head == "logit":
        check(build_backend(computed.backend, spec, weights, computed.compute))
    else:
        check(build_vector_backend(computed.backend, spec, weights, head, computed.compute))


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("computed", COMPUTED, ids=str)
def test_backend_of_a_late_join(computed, check, late_join):
    folder = late_join()
    spec = ModelSpec.read(folder)
    backend = build_backend(computed.backend, spec, load_weights(folder, spec), computed.compute)

    check(backend, two_sided)


@pytest.mark.parametrize("computed", COMPUTED, ids=str)
def test_encoder(computed, bi_encoder):
    with BiEncoder.load(bi_encoder(), backend=computed.backend, compute=computed.compute) as model:
        check_encoder(model)


@pytest.mark.parametrize("kind", ["bert", "late-join-bert"])
@pytest.mark.parametrize("computed", COMPUTED, ids=str)
def test_reranker(computed, kind, checkpoint, late_join):
    folder = checkpoint(kind) if kind == "bert" else late_join()
    with CrossEncoder.load(folder, backend=computed.backend, compute=computed.compute) as model:
        check_reranker(model)
