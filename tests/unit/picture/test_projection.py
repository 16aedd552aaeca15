"""Places in two dimensions, by an independent way, and the same in every call."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from secondpass.errors import InvalidInput, MissingExtra, UnknownName
from secondpass.picture import project


def vectors(rows: int, dimension: int, seed: int = 3):
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


@pytest.mark.parametrize(("rows", "dimension"), [(50, 8), (5, 40), (2, 3), (300, 2)])
def test_pca_is_that_of_a_singular_value_decomposition(rows, dimension):
    given = vectors(rows, dimension)
    places = project(given)

    centred = given.astype(np.float64) - given.astype(np.float64).mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    expected = (left * lengths)[:, :2]
    for axis in range(2):
        same = np.abs(places[:, axis] - expected[:, axis]).max()
        turned = np.abs(places[:, axis] + expected[:, axis]).max()
        assert min(same, turned) < 1e-5


@pytest.mark.parametrize("given", [vectors(1, 4), vectors(6, 1), np.ones((4, 3), dtype=np.float32)])
def test_what_has_no_two_directions_has_places_still(given):
    places = project(given)

    assert places.shape == (len(given), 2)
    assert np.isfinite(places).all()


def test_the_order_of_rows_does_not_turn_the_picture():
    given = vectors(40, 6)
    np.testing.assert_allclose(project(given)[::-1], project(given[::-1]), atol=1e-5)


@pytest.mark.parametrize(
    "given", [np.zeros((0, 3), dtype=np.float32), np.full((2, 2), np.nan, dtype=np.float32)]
)
def test_what_is_no_vectors_is_refused(given):
    with pytest.raises(InvalidInput, match="cannot be projected"):
        project(given)
    with pytest.raises(UnknownName, match="choose from pca, umap"):
        project(vectors(3, 3), "tsne")


def test_umap_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"secondpass\[map\]"):
        project(vectors(9, 3), "umap")


# In a process of its own, where UMAP does not compile itself: that takes longer than so few points.
UMAP_TWICE = """
import json, sys
import numpy as np
from secondpass.picture.projection import project
given = np.array(json.load(sys.stdin), dtype=np.float32)
json.dump([project(part, "umap").tolist() for part in (given, given, given[:2])], sys.stdout)
"""


def test_umap_keeps_groups_apart_and_gives_the_same_picture_again():
    pytest.importorskip("umap", reason="needs umap-learn")
    groups = np.repeat(np.eye(3, 8, dtype=np.float32), 6, axis=0)
    given = groups + vectors(18, 8) * np.float32(0.05)

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UMAP_TWICE],
        input=json.dumps(given.tolist()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )

    assert done.returncode == 0, done.stderr
    places, again, few = map(np.array, json.loads(done.stdout))
    middles = places.reshape(3, 6, 2).mean(axis=1)
    within = np.linalg.norm(places.reshape(3, 6, 2) - middles[:, None], axis=2).max()
    between = min(np.linalg.norm(middles[a] - middles[b]) for a, b in [(0, 1), (0, 2), (1, 2)])
    assert between > within
    np.testing.assert_array_equal(again, places)
    assert few.shape == (2, 2)
