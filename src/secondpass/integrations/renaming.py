"""Old names of arguments: taken under the new one, with the warning that the host gives."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Call = TypeVar("Call", bound=Callable[..., Any])


def takes_old_names(
    names: Mapping[str, str | None], *, positions: Sequence[str] = ()
) -> Callable[[Call], Call]:
    """A decorator of methods: `names` maps an old argument to its new name, None for no effect.

    Arguments beyond the first that come by position get the names in `positions`, which were
    positional once. Where old and new name are both given, the new one counts.
    """

    def decorate(call: Call) -> Call:
        @functools.wraps(call)
        def renamed(self: object, *given: Any, **named: Any) -> Any:
            taken = dict(named)
            if positions:
                for name, value in zip(positions, given[1:], strict=False):
                    _warn(f"passing '{name}' by position is deprecated; pass {name}={value!r}")
                    taken.setdefault(name, value)
                given = (*given[:1], *given[1 + len(positions) :])
            for old in [name for name in taken if name in names]:
                value, new = taken.pop(old), names[old]
                if new is None:
                    _warn(f"the argument '{old}' is deprecated and has no effect; leave it out")
                else:
                    _warn(f"the argument '{old}' is deprecated; its name is '{new}' now")
                    taken.setdefault(new, value)
            return call(self, *given, **taken)

        return renamed  # type: ignore[return-value]  # wraps keeps the signature

    return decorate


def _warn(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=3)
