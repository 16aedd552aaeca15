"""What all tests share; the plugins are the files of their name beside this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

pytest_plugins = ["pytester", "bi_encoders", "checkpoints", "guards", "late_join", "servers"]

# A loaded machine is not a failure, so no deadlines. CI repeats the same examples each time: a
# change that did not cause a failure should not be the one that meets it.
settings.register_profile(
    "local", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the repository, where there is one."""
    folder = Path(os.environ.get("SECONDPASS_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("the shared data sets are absent; SECONDPASS_SHARED can name their folder")
    return folder
