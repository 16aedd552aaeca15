"""Our filters in Chroma's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.retrieval.filters import Condition, kind_of
from secondpass.types import Range, Scalar

# Fields of ours among a user's, and those that Chroma keeps to itself.
RESERVED = ("secondpass_", "chroma:", "#", "$")

Where = dict[str, Any]


def is_plain(field: str) -> bool:
    """Whether Chroma can be asked about a metadata field of this name."""
    return bool(field) and not field.startswith(RESERVED)


def where_of(wanted: Sequence[Condition], more: Sequence[Where] = ()) -> Where | None:
    """What Chroma is asked: all that passes does so there too, and perhaps some more.

    None asks for everything. Ranges of texts are left out, which Chroma has not.
    """
    parts = [part for one in wanted if is_plain(one.field) for part in _parts(one)]
    parts = [*more, *parts]
    if len(parts) < 2:
        return parts[0] if parts else None
    return {"$and": parts}


def _parts(condition: Condition) -> list[Where]:
    asked = condition.values
    if isinstance(asked, Range):
        bounds = (("$gte", asked.at_least), ("$lte", asked.at_most))
        return [
            {condition.field: {operator: bound}}
            for operator, bound in bounds
            if bound is not None and kind_of(bound) == "number"
        ]
    by_type: dict[type, list[Scalar]] = {}
    for value in asked:
        by_type.setdefault(type(value), []).append(value)
    lists: list[Where] = [{condition.field: {"$in": values}} for values in by_type.values()]
    return lists if len(lists) == 1 else [{"$or": lists}]


def plain_metadata(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The part of a passage's metadata that Chroma can be asked about."""
    return {field: value for field, value in metadata.items() if is_plain(field)}
