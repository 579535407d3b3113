"""Results: what may be yielded, and what is refused with a reason."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.results import (
    AnyResult,
    Column,
    Failed,
    Heatmap,
    Line,
    Lines,
    NotApplicable,
    NotCaptured,
    Row,
    Table,
    Text,
    TokenStrip,
    cell,
    checked,
)

EVERY = [
    Row(trace="ab", number=1, cells={"x": 1, "y": None}),
    Table(title="t", columns=[Column("x", "float", "nats")], rows=[[1.5], [None]], absent="why"),
    Lines(x_label="layer", y_label="norm", x=[0.0, 1.0], series=[Line("a", [1.0, None])]),
    Heatmap(
        row_label="r",
        column_label="c",
        rows=["0"],
        columns=["a", "b"],
        values=[[1.0, None]],
        texts=[["x", "y"]],
    ),
    TokenStrip(tokens=["a"], values=[0.5]),
    Text(text="words"),
    Failed(reason="bad"),
    NotCaptured(reason="no", remedy="do"),
    NotApplicable(reason="why"),
]


@pytest.mark.parametrize("result", EVERY, ids=lambda result: type(result).__name__)
def test_every_kind_survives_json(result: AnyResult) -> None:
    assert msgspec.json.decode(msgspec.json.encode(result), type=AnyResult) == result
    assert checked(result) == result


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([2.0]), 2.0),
        (np.str_("a"), "a"),
        (None, None),
        (True, True),
    ],
)
def test_a_cell_is_a_plain_value(value: object, plain: object) -> None:
    found = cell(value, "x")
    assert found == plain and type(found) is type(plain)


def test_nan_stays_nan() -> None:
    found = cell(np.float32("nan"), "x")
    assert isinstance(found, float) and math.isnan(found)


@pytest.mark.parametrize("value", [np.zeros(2), [1], {"a": 1}, object(), b"x", 1j])
def test_what_is_not_one_value_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="norm is a"):
        cell(value, "norm")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "yielded a int"),
        (None, "yielded a NoneType"),
        ("text", "yielded a str"),
        (Row(cells={"x": [1]}), "x is a list"),  # type: ignore[dict-item]
        (Table(columns=[Column("x", "int")], rows=[[1, 2]]), "2 values where there should be 1"),
        (
            Lines(x_label="", y_label="", x=[0.0], series=[Line("a", [1.0, 2.0])]),
            "2 values where there should be 1",
        ),
        (Lines(x_label="", y_label="", x=["a"], series=[]), "wrong value"),  # type: ignore[list-item]
        (Heatmap(row_label="", column_label="", rows=["0"], columns=["a"], values=[[1.0, 2.0]]), "2 values"),
        (Heatmap(row_label="", column_label="", rows=["0", "1"], columns=["a"], values=[[1.0]]), "1 values"),
        (
            Heatmap(
                row_label="", column_label="", rows=["0"], columns=["a"], values=[[1.0]], texts=[["a"], ["b"]]
            ),
            "2 values",
        ),
        (TokenStrip(tokens=["a", "b"], values=[1.0]), "1 values where there should be 2"),
        (Text(text=5), "wrong value"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_hold_together_is_refused(value: object, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        checked(value)


def test_numpy_inside_results_becomes_plain() -> None:
    table = Table(columns=[Column("x", "float")], rows=[[np.float32(0.5)]])  # type: ignore[list-item]
    found = checked(table)
    assert isinstance(found, Table) and type(found.rows[0][0]) is float
