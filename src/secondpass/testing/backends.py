"""What everything that computes a model must do, with either head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from secondpass.errors import EngineError
from secondpass.protocols import Backend, Batch, VectorBackend
from secondpass.testing.expect import expect, expect_equal, expect_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BatchOf = Callable[..., Batch]  # what makes a batch of rows of ids


class BackendCheck(Protocol):
    """One of the checks below."""

    __name__: str

    def __call__(self, backend: Backend | VectorBackend, batch_of: BatchOf = ...) -> None:
        """Raise AssertionError where the backend does not do what the check's docstring says."""


def one_sided(*rows: Sequence[int]) -> Batch:
    """These rows of ids as a batch, all token types 0."""
    import numpy as np

    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    return Batch(ids, np.zeros_like(ids), np.array([len(row) for row in rows], dtype=np.int32))


def two_sided(*rows: Sequence[int]) -> Batch:
    """The same for a late-join model: types 0 for a query of up to two tokens, 1 for the others."""
    import numpy as np

    batch = one_sided(*rows)
    queries = [min(2, len(row) - 1) for row in rows]
    types = [
        int(at >= query) for row, query in zip(rows, queries, strict=True) for at in range(len(row))
    ]
    return replace(batch, types=np.array(types, dtype=np.int32))


def _results(backend: Backend | VectorBackend) -> Callable[[Batch], NDArray[np.float32]]:
    return backend.encode if isinstance(backend, VectorBackend) else backend.forward


def gives_one_result_a_row(backend: Backend | VectorBackend, batch_of: BatchOf = one_sided) -> None:
    """float32[rows] of logits or float32[rows, hidden] of vectors, finite, the same when repeated."""
    run, rows = _results(backend), ([2, 4, 3], [2, 4, 5, 6, 3], [2, 3])
    found = run(batch_of(*rows))
    shape = (3, *found.shape[1:]) if isinstance(backend, VectorBackend) else (3,)
    expect_equal((str(found.dtype), found.shape), ("float32", shape), "type and shape")
    expect(bool((abs(found) < 1e6).all()), f"results: {found}")
    expect_equal(run(batch_of(*rows)).tolist(), found.tolist(), "the same batch again")
    expect_equal(run(batch_of()).shape, (0, *shape[1:]), "an empty batch")


def keeps_rows_apart(backend: Backend | VectorBackend, batch_of: BatchOf = one_sided) -> None:
    """A row has the same logit or vector, to the last bit, alone and in any company and order."""
    run = _results(backend)
    rows = [[2, 4 + number % 5, *[5 + number % 3] * (number % 17), 3] for number in range(40)]
    together = run(batch_of(*rows)).tolist()
    alone = [run(batch_of(row))[0].tolist() for row in rows]
    expect_equal(together, alone, "rows together and alone")
    expect_equal(run(batch_of(*rows[::-1])).tolist()[::-1], together, "rows in another order")


def ends_when_closed(backend: Backend | VectorBackend, batch_of: BatchOf = one_sided) -> None:
    """`forward` and `encode` raise EngineError after `close`, which may be called twice."""
    backend.close()
    backend.close()
    expect_error(EngineError, partial(_results(backend), batch_of([2, 3])), "a closed backend")


BACKEND_CHECKS: tuple[BackendCheck, ...] = (
    gives_one_result_a_row,
    keeps_rows_apart,
    ends_when_closed,
)


def check_backend(
    build: Callable[[], Backend | VectorBackend], batch_of: BatchOf = one_sided
) -> None:
    """Run every check, each on a backend of its own of a model with ten tokens or more.

    `batch_of` is `two_sided` for a late-join model.
    """
    for check in BACKEND_CHECKS:
        backend = build()
        try:
            check(backend, batch_of)
        finally:
            backend.close()
