"""Rows become tables, problems become one line for each reason."""

from __future__ import annotations

import pytest

from tensorshark.forensics import gather as module
from tensorshark.forensics.gather import gather, merge
from tensorshark.forensics.results import Failed, NotCaptured, Result, Row, Table, Text


def row(title: str = "", trace: str = "ab", number: int = 1, **cells: object) -> Row:
    return Row(title=title, trace=trace, number=number, cells=cells)  # type: ignore[arg-type]


def tables(*results: Result) -> list[Table]:
    found = list(gather(results, "name", {"x": "nats"}))
    return [result for result in found if isinstance(result, Table)]


def test_rows_of_the_same_columns_are_one_table() -> None:
    first, second = tables(row(x=1, y="a"), row("other", x=2), row(x=3, y="b", trace="cd", number=2))
    assert (first.title, second.title) == ("name", "other")
    assert [(column.name, column.type, column.unit) for column in first.columns] == [
        ("number", "int", ""),
        ("trace", "str", ""),
        ("x", "int", "nats"),
        ("y", "str", ""),
    ]
    assert first.rows == [[1, "ab", 1, "a"], [2, "cd", 3, "b"]]


def test_columns_take_the_narrowest_type() -> None:
    (table,) = tables(row(a=1, b=True, c=None, d=1), row(a=1.5, b=None, c=None, d="x"))
    assert [column.type for column in table.columns[2:]] == ["float", "bool", "str", "str"]
    assert table.rows[0][2:] == [1.0, True, None, "1"]
    assert isinstance(table.rows[0][2], float) and table.absent


def test_rows_about_no_trace_have_no_trace_columns() -> None:
    (table,) = tables(row(trace="", number=0, x=1))
    assert [column.name for column in table.columns] == ["x"]


def test_tables_come_first_and_the_rest_in_order() -> None:
    found = list(gather([Text(text="1"), row(x=1), Text(text="2")], "name", {}))
    assert [type(result) for result in found] == [Table, Text, Text]
    assert [result.text for result in found if isinstance(result, Text)] == ["1", "2"]


def test_endless_rows_are_stopped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    table, failed = gather((row(x=i) for i in iter(int, 1)), "name", {})
    assert isinstance(table, Table) and len(table.rows) == 10
    assert isinstance(failed, Failed) and "stopped after 10 rows" in failed.reason


def test_a_reason_that_traces_share_is_said_once() -> None:
    problems = [Failed(trace=f"t{i}", reason="same") for i in range(3)]
    missing = NotCaptured(trace="t9", reason="same", remedy="do")
    merged, alone = merge([*problems, missing], 7, "norms")
    assert isinstance(merged, Failed) and merged.title == "norms" and merged.trace == ""
    assert merged.reason == "same (in 3 of 7 traces, the first is t0)"
    assert isinstance(alone, NotCaptured) and alone.trace == "t9" and alone.reason == "same"
