"""A relation gives the same answer for one value, for an array, and as SQL."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.filter.values.relations import (
    Contains,
    During,
    OneOf,
    Order,
    Present,
    Range,
    Relation,
    Severity,
    said,
)

OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
TEXTS = ("", "a", "ab", "a\0b", "\0", "ü", "🦈", "B", "note", "warn", "error", "%", "_")
STAMPS = tuple(f"2026-08-0{day}T{hour:02d}:00:00.000000Z" for day in (1, 2, 3) for hour in (0, 12, 23))
numbers = st.integers(-5, 5) | st.floats(-5, 5, width=32)


def by_sql(relation: Relation, values: Sequence[Any]) -> list[bool]:
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE t(row INTEGER PRIMARY KEY, v)")
        db.executemany("INSERT INTO t(v) VALUES (?)", [(value,) for value in values])
        asked = relation.sql("v")
        assert asked is not None
        condition, parameters = asked
        found = {row for (row,) in db.execute(f"SELECT row FROM t WHERE {condition}", parameters)}
    return [row in found for row in range(1, len(values) + 1)]


orders = st.builds(Order, st.sampled_from(OPERATORS), numbers)
ranges = st.builds(lambda ends: Range(min(ends), max(ends)), st.tuples(numbers, numbers))
sets = st.builds(OneOf, st.lists(orders | ranges, min_size=1, max_size=4).map(tuple), st.booleans())


@given(relation=orders | ranges | sets, values=st.lists(numbers, min_size=1, max_size=8))
def test_numbers(relation: Relation, values: list[float]) -> None:
    expected = [relation.one(value) for value in values]
    assert relation.array(np.array(values)).tolist() == expected
    assert by_sql(relation, values) == expected


@given(relation=orders | ranges, values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=8))
def test_stored_numbers_are_not_rounded_before_they_are_compared(
    relation: Relation, values: list[float]
) -> None:
    assert relation.array(np.array(values, np.float32)).tolist() == [relation.one(value) for value in values]
    assert not Order("==", 0.1).array(np.array([0.1], np.float32)).any(), "0.1 is no float32"


texts = st.sampled_from(TEXTS)


@given(
    st.builds(Order, st.sampled_from(OPERATORS), texts)
    | st.builds(Contains, texts)
    | st.builds(Severity, st.sampled_from(OPERATORS), st.sampled_from(("note", "warn", "error")))
    | st.just(Present())
)
def test_texts(relation: Relation) -> None:
    assert by_sql(relation, TEXTS) == [relation.one(text) for text in TEXTS]


@pytest.mark.parametrize("operator", OPERATORS)
def test_dates(operator: str) -> None:
    day = During(operator, "2026-08-02T00:00:00.000000Z", "2026-08-03T00:00:00.000000Z", "2026-08-02")
    found = by_sql(day, STAMPS)
    assert found == [day.one(stamp) for stamp in STAMPS]
    before, on, after = found[:3], found[3:6], found[6:]
    assert before == [operator in ("!=", "<", "<=")] * 3
    assert on == [operator in ("==", "<=", ">=")] * 3
    assert after == [operator in ("!=", ">", ">=")] * 3


@pytest.mark.parametrize(
    ("constant", "words"),
    [(1500, "1,500"), (0.5, "0.5"), (1e-7, "1e-07"), (True, "true"), ("plain", "plain"), ("a b", '"a b"')],
)
def test_constants_in_a_sentence(constant: Any, words: str) -> None:
    assert said(constant) == words
