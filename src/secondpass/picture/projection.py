"""Vectors in two dimensions: at once by PCA, or by UMAP, which keeps neighbours together."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InvalidInput, MissingExtra, UnknownName

SEED = 1
LEAST_FOR_UMAP = 4  # fewer rows have no neighbourhood to keep


def project(vectors: NDArray[np.float32], method: str = "pca") -> NDArray[np.float64]:
    """A place for each row, float64[rows, 2], the same in every call.

    'pca' takes the two directions in which the rows differ most, and so keeps what is far apart;
    'umap' keeps neighbours together, and needs the extra 'map'. InvalidInput for rows that are no
    finite vectors.
    """
    if method not in PROJECTIONS:
        raise UnknownName("projection", method, PROJECTIONS)
    if vectors.ndim != 2 or not len(vectors) or not np.isfinite(vectors).all():
        raise InvalidInput(
            f"vectors of shape {list(vectors.shape)} cannot be projected; expected one finite vector "
            "or more, float32[rows, dimension]"
        )
    return PROJECTIONS[method](vectors)


def _pca(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows along the two principal axes; an axis points to where its largest component is."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    best = axes[:, ::-1][:, :2]
    if best.shape[1] < 2:
        best = np.pad(best, ((0, 0), (0, 2 - best.shape[1])))
    signs = np.where(best[np.abs(best).argmax(axis=0), range(2)] < 0, -1.0, 1.0)
    return cast("NDArray[np.float64]", centred @ (best * signs))


def _umap(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtra("projection 'umap'", "map") from error
    if len(vectors) < LEAST_FOR_UMAP:
        return _pca(vectors)
    # A seed makes UMAP use one thread: slower, and the same picture each time.
    mapper = UMAP(
        n_neighbors=min(15, len(vectors) - 1),
        metric="cosine",
        init="random" if len(vectors) < 10 * LEAST_FOR_UMAP else "spectral",
        random_state=SEED,
        n_jobs=1,
    )
    return np.asarray(mapper.fit_transform(vectors), dtype=np.float64)


PROJECTIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {
    "pca": _pca,
    "umap": _umap,
}
