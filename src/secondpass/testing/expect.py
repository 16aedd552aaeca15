"""What a check says where it fails: AssertionError with what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable

from secondpass.errors import SecondpassError


def expect(condition: bool, message: str) -> None:
    """Fail with this message unless the condition holds."""
    # No assert statement: a suite must check under `python -O` too.
    if not condition:
        raise AssertionError(message)


def expect_equal(found: object, expected: object, what: str) -> None:
    """Fail unless both are equal."""
    expect(found == expected, f"{what}: found {found!r}, expected {expected!r}")


def expect_error(kind: type[SecondpassError], call: Callable[[], object], what: str) -> None:
    """Fail unless the call raises this kind of error."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{what} must raise {kind.__name__}")
