"""Which backends there are: one table, name -> where its class lives; and which one serves."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from secondpass.engine.compute import Compute
from secondpass.errors import InvalidInput, ModelError, UnknownName

if TYPE_CHECKING:
    from secondpass.engine.checkpoint import StoredWeights
    from secondpass.engine.encoder_spec import Pooling
    from secondpass.engine.spec import ModelSpec
    from secondpass.protocols import Backend, VectorBackend

BACKENDS = {
    "native": "secondpass.engine.backends.native:NativeBackend",
    "numpy": "secondpass.engine.backends.numpy:NumpyBackend",
}
# The same forward passes with the head of a bi-encoder.
VECTOR_BACKENDS = {
    "native": "secondpass.engine.backends.native:NativeVectors",
    "numpy": "secondpass.engine.backends.numpy:NumpyVectors",
}
# What 'auto' means for the native backend: it cost the first bundled model at most .005 of nDCG@10 on
# any set (benchmarks/results), and a model that it would cost more takes fp32 (engine/outliers.py).
AUTO_PRECISION = "int8"
EXTENSION = "secondpass._native"

logger = logging.getLogger(__name__)


def choose_backend(name: str, spec: ModelSpec | None, compute: Compute) -> tuple[str, Compute]:
    """The backend to use and its choices with the precision settled; for no model with None.

    'auto' is the fastest backend that is there and takes the model; a slower one is logged with the
    reason. Raises InvalidInput where the named backend cannot do what is asked of it.
    """
    if name not in ("auto", *BACKENDS):
        raise UnknownName("backend", name, ["auto", *BACKENDS])
    reason = None if name == "numpy" else _native_refusal(spec, compute)
    if reason is not None and name == "native":
        raise InvalidInput(f"the backend 'native' cannot serve: {reason}; choose 'numpy' or 'auto'")
    if reason is not None:
        logger.warning("the numpy backend takes the place of the native one: %s", reason)
        compute = replace(compute, threads=None, instruction_set="auto")
    chosen = "numpy" if name == "numpy" or reason is not None else "native"
    if chosen == "numpy":
        _check_numpy(compute)
    if compute.precision == "auto":
        compute = replace(compute, precision="fp32" if chosen == "numpy" else AUTO_PRECISION)
    return chosen, compute


def build_backend(
    name: str, spec: ModelSpec, weights: StoredWeights, compute: Compute | None = None
) -> Backend:
    """The backend `name` with the model in it; raises what `choose_backend` raises."""
    chosen, settled = choose_backend(name, spec, compute or Compute())
    module, _, attribute = BACKENDS[chosen].partition(":")
    backend: Backend = getattr(import_module(module), attribute)(spec, weights, settled)
    return backend


def build_vector_backend(
    name: str,
    spec: ModelSpec,
    weights: StoredWeights,
    pooling: Pooling,
    compute: Compute | None = None,
) -> VectorBackend:
    """The backend `name` with a bi-encoder in it; raises what `choose_backend` raises.

    ModelError for a late-join model, whose states are no vectors of texts.
    """
    if spec.join_layer:
        raise ModelError(
            f"a model with join_layer={spec.join_layer} reads pairs and gives no vectors; expected a "
            "bi-encoder; load it with CrossEncoder"
        )
    chosen, settled = choose_backend(name, spec, compute or Compute())
    module, _, attribute = VECTOR_BACKENDS[chosen].partition(":")
    kind = getattr(import_module(module), attribute)
    backend: VectorBackend = kind(spec, weights, pooling, settled)
    return backend


def _native_refusal(spec: ModelSpec | None, compute: Compute) -> str | None:
    try:
        import_module(EXTENSION)
    except ModuleNotFoundError:
        return "secondpass was installed without a C++ compiler; install one and secondpass anew"
    except ImportError as error:
        return f"its extension cannot be loaded ({error}); install secondpass anew"
    from secondpass.engine.backends.native import refusal

    return None if spec is None else refusal(spec, compute)


def _check_numpy(compute: Compute) -> None:
    for name, value, expected in (
        ("precision", compute.precision, ("auto", "fp32")),
        ("threads", compute.threads, (None,)),
        ("instruction_set", compute.instruction_set, ("auto",)),
    ):
        if value not in expected:
            raise InvalidInput(
                f"{name}={value!r} needs the native backend; the numpy backend computes in fp32, as "
                "its libraries do: leave it out, or choose the backend 'native'"
            )
