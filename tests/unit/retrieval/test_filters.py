from __future__ import annotations

import json
import sqlite3

import pytest

from secondpass.errors import InvalidInput
from secondpass.retrieval.filters import clause, conditions, passes
from secondpass.types import Range

METADATA = {
    "year": 2024,
    "ratio": 0.1 + 0.2,
    "draft": False,
    "lang": "zh",
    "version": "10",
    'a"b\\c.$[0]': "odd",
    "日期": "2024-05-01",
}


def sqlite_passes(metadata, where) -> bool:
    sql, parameters = clause(conditions(where), "metadata")
    connection = sqlite3.connect(":memory:")
    row = connection.execute(
        f"SELECT {sql} FROM (SELECT ? AS metadata)",
        (*parameters, json.dumps(metadata)),
    ).fetchone()
    connection.close()
    return bool(row[0])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        (None, True),
        ({"year": 2024}, True),
        ({"year": 2024.0}, True),
        ({"year": "2024"}, False),
        ({"year": [1999, "zh", 2024]}, True),
        ({"year": []}, False),
        ({"ratio": 0.1 + 0.2}, True),
        ({"ratio": 0.3}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"draft": [0, "", 0.0]}, False),
        ({"draft": Range(at_most=True)}, True),
        ({"draft": Range(at_most=1)}, False),
        ({"lang": "zh", "year": 2023}, False),
        ({"lang": ("en", "zh"), "draft": [True, False]}, True),
        ({"version": Range("1", "2")}, True),
        ({"version": Range(1, 20)}, False),
        ({"year": Range(2024, 2024)}, True),
        ({"year": Range(at_least=2024.5)}, False),
        ({"year": Range()}, True),
        ({"missing": Range()}, False),
        ({"missing": "x"}, False),
        ({'a"b\\c.$[0]': "odd"}, True),
        ({"a": "odd"}, False),
        ({"日期": Range("2024-01-01", "2024-12-31")}, True),
        ({"lang": "zh' OR '1'='1"}, False),
    ],
)
def test_python_and_sqlite_agree(where, expected):
    assert passes(METADATA, conditions(where)) is expected
    assert sqlite_passes(METADATA, where) is expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"year": None},
            "filter on 'year' is of type 'NoneType'; expected str, int, float or bool",
        ),
        ({"year": {2024}}, "is of type 'set'"),
        ({"year": [[2024]]}, "is of type 'list'"),
        ({"year": b"x"}, "is of type 'bytes'"),
        ({"year": float("nan")}, "is 'nan'; expected a finite number"),
        ({"year": Range(float("-inf"), 0)}, "is '-inf'; expected a finite number"),
        ({"year": 2**63}, "expected at most 64 bits"),
        ({"year": Range(1, "b")}, "ranges from '1' to 'b'; expected bounds of one kind"),
        ({"year": Range(False, 1)}, "ranges from 'False' to '1'"),
        ({1: "x"}, "a filter's field is of type 'int'; expected str"),
        ({"lang": "a\0b"}, "holds a NUL character"),
        ({"lang": "\ud800"}, "holds half a surrogate pair at character 0"),
        ([("year", 1)], "filter is of type 'list'; expected a mapping"),
    ],
)
def test_senseless_filters_are_refused(where, message):
    with pytest.raises(InvalidInput) as refused:
        conditions(where)
    assert message in str(refused.value)


def test_more_values_than_sqlite_has_parameters():
    where = {"year": range(300_000)}
    assert passes(METADATA, conditions(where))
    assert sqlite_passes(METADATA, where)
