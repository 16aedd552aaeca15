"""Every backend passes the backend suite, for every family."""

from __future__ import annotations

import pytest

from secondpass.engine.backends.table import BACKENDS, build_backend
from secondpass.engine.checkpoint import load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.testing import BACKEND_CHECKS


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("name", BACKENDS)
def test_backend(name, variant, check, checkpoint):
    folder = checkpoint(variant)
    spec = ModelSpec.read(folder)

    check(build_backend(name, spec, load_weights(folder, spec)))
