"""Our filters in Milvus's words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from secondpass.retrieval.filters import Condition, kind_of
from secondpass.types import Range, Scalar

_PLAIN = re.compile(r"[\w .,/:#+-]*", re.ASCII)


def is_plain(text: str) -> bool:
    """Whether a text can stand in a filter between quotes, in Lite too."""
    return _PLAIN.fullmatch(text) is not None


def milvus_conditions(wanted: Sequence[Condition]) -> list[str]:
    """What Milvus is asked: all that passes does so there too. Odd fields and texts are left out."""
    asked = []
    for one in wanted:
        if not one.field or not is_plain(one.field):
            continue
        field = f'metadata["{one.field}"]'
        if isinstance(one.values, Range):
            bounds = ((">=", one.values.at_least), ("<=", one.values.at_most))
            asked += [
                f"{field} {operator} {_literal(bound)}"
                for operator, bound in bounds
                if bound is not None and kind_of(bound) == "number"
            ]
        elif all(not isinstance(value, str) or is_plain(value) for value in one.values):
            any_of = " || ".join(f"{field} == {_literal(value)}" for value in one.values)
            asked.append(f"({any_of})")
    return asked


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)
