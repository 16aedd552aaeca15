"""Tells which passages pass a filter.

A `Filter` is read once into conditions, which are then checked in Python (`passes`) or by SQLite
(`clause`), with the same outcome.

Flags, numbers and texts never equal or order one another: `1` is not `True`, and `"10"` lies in no
range of numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.errors import InvalidInput
from secondpass.types import Filter, Metadata, Range, Scalar

_INT64 = 2**63

# How SQLite's JSON functions name the types of each kind of value.
_JSON_TYPES = {"flag": "'true', 'false'", "number": "'integer', 'real'", "text": "'text'"}


def kind_of(value: Scalar) -> str:
    """Which of 'flag', 'number' and 'text' a value is; values of one kind can be compared."""
    if isinstance(value, bool):
        return "flag"
    return "text" if isinstance(value, str) else "number"


def check_text(text: str, what: str) -> None:
    """Raise InvalidInput where `text` cannot be stored; `what` names it in the message."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds half a surrogate pair at character {error.start}; expected text that "
            "UTF-8 can encode; decode the source with errors='replace'"
        ) from error


def check_scalar(value: object, what: str) -> None:
    """Raise InvalidInput unless `value` is a scalar that compares alike everywhere."""
    if isinstance(value, str):
        check_text(value, what)
        if "\0" in value:
            raise InvalidInput(f"{what} holds a NUL character; expected plain text; remove it")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(
                f"{what} is '{value}'; expected a finite number; leave the field out"
            )
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise InvalidInput(f"{what} is '{value}'; expected at most 64 bits; store it as text")
    else:
        raise InvalidInput(
            f"{what} is of type '{type(value).__name__}'; expected str, int, float or bool; "
            "flatten or convert it"
        )


def check_field(field: object, what: str) -> None:
    """Raise InvalidInput unless `field` can name a metadata field."""
    if not isinstance(field, str):
        raise InvalidInput(
            f"{what} is of type '{type(field).__name__}'; expected str; convert it with str()"
        )
    check_scalar(field, what)


@dataclass(frozen=True, slots=True)
class Condition:
    """One field's value is any of these, or lies in this range."""

    field: str
    values: tuple[Scalar, ...] | Range


def conditions(where: Filter | None) -> tuple[Condition, ...]:
    """The conditions of a filter, none for None; raises InvalidInput where it makes no sense."""
    if not isinstance(where, Mapping | None):
        raise InvalidInput(
            f"filter is of type '{type(where).__name__}'; expected a mapping of metadata fields to "
            "a value, a list of values or a Range"
        )
    return tuple(_condition(field, asked) for field, asked in (where or {}).items())


def _condition(field: str, asked: Scalar | Sequence[Scalar] | Range) -> Condition:
    what = f"filter on '{field}'"
    check_field(field, "a filter's field")
    if isinstance(asked, Range):
        bounds = [bound for bound in (asked.at_least, asked.at_most) if bound is not None]
        for bound in bounds:
            check_scalar(bound, what)
        if len({kind_of(bound) for bound in bounds}) > 1:
            raise InvalidInput(
                f"{what} ranges from '{asked.at_least}' to '{asked.at_most}'; expected bounds of "
                "one kind; give both as numbers or both as text"
            )
        return Condition(field, asked)
    several = isinstance(asked, Sequence) and not isinstance(asked, str | bytes)
    values = tuple(asked) if several else (asked,)  # type: ignore[arg-type]
    for value in values:
        check_scalar(value, what)
    return Condition(field, values)  # type: ignore[arg-type]


def passes(metadata: Metadata, wanted: Sequence[Condition]) -> bool:
    """Whether every condition holds; a field that is not there fails."""
    return all(
        condition.field in metadata and _holds(metadata[condition.field], condition)
        for condition in wanted
    )


def _holds(value: Scalar, condition: Condition) -> bool:
    kind = kind_of(value)
    if not isinstance(condition.values, Range):
        return any(kind_of(one) == kind and one == value for one in condition.values)
    low: Any = condition.values.at_least
    high: Any = condition.values.at_most
    return all(bound is None or kind_of(bound) == kind for bound in (low, high)) and (
        (low is None or low <= value) and (high is None or value <= high)
    )


def clause(wanted: Sequence[Condition], column: str) -> tuple[str, list[str]]:
    """An SQL expression over a column of JSON metadata, and its parameters.

    Fields and values travel as parameters, values as JSON: numbers are then read from text by the
    same code on both sides, which makes equal ones equal on every platform.
    """
    parts = [_part(condition) for condition in wanted]
    sql = " AND ".join(
        f"EXISTS (SELECT 1 FROM json_each({column}) AS field WHERE field.key = ? AND {part})"
        for part, _ in parts
    )
    parameters = [
        parameter
        for condition, (_, values) in zip(wanted, parts, strict=True)
        for parameter in (condition.field, *values)
    ]
    return sql or "TRUE", parameters


def _part(condition: Condition) -> tuple[str, list[str]]:
    if isinstance(condition.values, Range):
        return _bounded(condition.values)
    by_kind: dict[str, list[Scalar]] = {}
    for value in condition.values:
        by_kind.setdefault(kind_of(value), []).append(value)
    anyone = " OR ".join(
        f"(field.type IN ({_JSON_TYPES[kind]}) AND field.value IN (SELECT value FROM json_each(?)))"
        for kind in by_kind
    )
    return f"({anyone or 'FALSE'})", [json.dumps(values) for values in by_kind.values()]


def _bounded(bounds: Range) -> tuple[str, list[str]]:
    parts = ["TRUE"]
    parameters = []
    for operator, bound in ((">=", bounds.at_least), ("<=", bounds.at_most)):
        if bound is not None:
            parts.append(
                f"field.type IN ({_JSON_TYPES[kind_of(bound)]}) "
                f"AND field.value {operator} json_extract(?, '$[0]')"
            )
            parameters.append(json.dumps([bound]))
    return " AND ".join(parts), parameters
