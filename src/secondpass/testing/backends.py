"""What everything that computes a model must do, with either head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from secondpass.errors import EngineError
from secondpass.protocols import Backend, Batch, VectorBackend
from secondpass.testing.expect import expect, expect_equal, expect_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _batch(*rows: Sequence[int]) -> Batch:
    import numpy as np

    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    return Batch(ids, np.zeros_like(ids), np.array([len(row) for row in rows], dtype=np.int32))


def _results(backend: Backend | VectorBackend) -> Callable[[Batch], NDArray[np.float32]]:
    return backend.encode if isinstance(backend, VectorBackend) else backend.forward


def gives_one_result_a_row(backend: Backend | VectorBackend) -> None:
    """float32[rows] of logits or float32[rows, hidden] of vectors, finite, the same when repeated."""
    run, rows = _results(backend), ([2, 4, 3], [2, 4, 5, 6, 3], [2, 3])
    found = run(_batch(*rows))
    shape = (3, *found.shape[1:]) if isinstance(backend, VectorBackend) else (3,)
    expect_equal((str(found.dtype), found.shape), ("float32", shape), "type and shape")
    expect(bool((abs(found) < 1e6).all()), f"results: {found}")
    expect_equal(run(_batch(*rows)).tolist(), found.tolist(), "the same batch again")
    expect_equal(run(_batch()).shape, (0, *shape[1:]), "an empty batch")


def keeps_rows_apart(backend: Backend | VectorBackend) -> None:
    """A row has the same logit or vector, to the last bit, alone and in any company and order."""
    run = _results(backend)
    rows = [[2, 4 + number % 5, *[5 + number % 3] * (number % 17), 3] for number in range(40)]
    together = run(_batch(*rows)).tolist()
    alone = [run(_batch(row))[0].tolist() for row in rows]
    expect_equal(together, alone, "rows together and alone")
    expect_equal(run(_batch(*rows[::-1])).tolist()[::-1], together, "rows in another order")


def ends_when_closed(backend: Backend | VectorBackend) -> None:
    """`forward` and `encode` raise EngineError after `close`, which may be called twice."""
    backend.close()
    backend.close()
    expect_error(EngineError, partial(_results(backend), _batch([2, 3])), "a closed backend")


BACKEND_CHECKS: tuple[Callable[[Backend | VectorBackend], None], ...] = (
    gives_one_result_a_row,
    keeps_rows_apart,
    ends_when_closed,
)


def check_backend(build: Callable[[], Backend | VectorBackend]) -> None:
    """Run every check, each on a backend of its own of a model with ten tokens or more."""
    for check in BACKEND_CHECKS:
        backend = build()
        try:
            check(backend)
        finally:
            backend.close()
