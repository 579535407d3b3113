"""Renderings: literal text, CSV that spreadsheets cannot run, JSON that any reader takes."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tensorshark.forensics import render
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
)

EVIL = "\x1b]52;c;aGk=\x07 [@click=app.quit]x[/] \u202egnp\x00\x9b31m\n=cmd()"

TABLE = Table(
    title="norms",
    columns=[Column("layer", "int"), Column("token", "str"), Column("norm", "float", "nats")],
    rows=[[0, " the", 4.3512345], [11, "日本", None], [2, "", float("nan")]],
    absent="not captured",
)
LINES = Lines(
    title="growth", x_label="layer", y_label="norm", x=[0.0, 1.0, 2.5], series=[Line("a", [1.0, None, 3.0])]
)
HEAT = Heatmap(
    title="h",
    row_label="layer",
    column_label="token",
    rows=["0", "1"],
    columns=[" a", "b"],
    values=[[1.0, None], [2.5, 3.0]],
)
STRIP = TokenStrip(title="s", tokens=[" a", "\n"], values=[0.25, None], unit="nats")


def test_a_table_as_text() -> None:
    assert render.to_text(TABLE).splitlines() == [
        "norms",
        "layer  token  norm [nats]",
        "    0  ·the         4.351",
        "   11  日本             –",
        "    2                 nan",
        "– not captured",
    ]


def test_lines_as_text() -> None:
    assert render.to_text(LINES).splitlines() == [
        "growth",
        "norm  layer 0 to 2.5  first  last  min  max",
        "a     ▁ █                 1     3    1    3",
    ]


def test_a_heatmap_as_text_with_numbers_or_texts() -> None:
    assert render.to_text(HEAT).splitlines() == [
        "h",
        "layer \\ token   ·a  b",
        "0                1  –",
        "1              2.5  3",
    ]
    texts = Heatmap(
        row_label="l", column_label="t", rows=["0"], columns=["x"], values=[[1.0]], texts=[[" Paris"]]
    )
    assert render.to_text(texts).splitlines() == ["l \\ t  x", "0      ·Paris"]


def test_problems_as_text() -> None:
    assert render.to_text(Failed(title="norms", trace="ab", reason="bad")) == "failed: norms: trace ab: bad"
    assert (
        render.to_text(NotCaptured(reason="no pattern", remedy="--patterns"))
        == "not captured: no pattern; --patterns"
    )
    assert render.to_text(NotApplicable(trace="ab", reason="same")) == "not applicable: trace ab: same"


def test_sparklines_have_gaps_and_survive_constants() -> None:
    assert render.sparkline([1.0, None, 8.0, float("nan")]) == "▁ █ "
    assert render.sparkline([2.0, 2.0]) == "▁▁"
    assert render.sparkline([None]) == " " and render.sparkline([]) == ""


def read(result: AnyResult) -> list[list[str]]:
    return list(csv.reader(io.StringIO(render.to_csv(result))))


def test_csv_of_every_shape() -> None:
    assert read(TABLE) == [
        ["layer", "token", "norm"],
        ["0", " the", "4.3512345"],
        ["11", "日本", ""],
        ["2", "", "nan"],
    ]
    assert read(LINES) == [["layer", "a"], ["0", "1.0"], ["1", ""], ["2.5", "3.0"]]
    assert read(HEAT)[:3] == [["layer", "token", "value", "text"], ["0", " a", "1.0", ""], ["0", "b", "", ""]]
    assert read(STRIP) == [["token", "nats"], [" a", "0.25"], ["⏎", ""]]
    assert read(Row(trace="ab", number=3, cells={"x": -1})) == [["number", "trace", "x"], ["3", "ab", "-1"]]
    assert read(NotCaptured(trace="ab", reason="r", remedy="m"))[1] == ["not-captured", "ab", "r", "m"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(start: str) -> None:
    row = read(Table(columns=[Column("x", "str"), Column("n", "float")], rows=[[f"{start}1+1", -2.0]]))[1]
    assert row[0].startswith("'") and row[1] == "-2.0"


def everywhere(text: str) -> list[AnyResult]:
    """Results of every kind with the text in every place that takes one."""
    return [
        Row(title=text, trace=text, cells={text: text}),
        Table(title=text, columns=[Column(text, "str", text)], rows=[[text], [None]], absent=text),
        Lines(title=text, x_label=text, y_label=text, x=[0.0], series=[Line(text, [1.0])]),
        Heatmap(
            title=text,
            row_label=text,
            column_label=text,
            rows=[text],
            columns=[text],
            values=[[1.0]],
            unit=text,
        ),
        Heatmap(row_label="", column_label="", rows=["0"], columns=["1"], values=[[1.0]], texts=[[text]]),
        TokenStrip(title=text, tokens=[text], values=[1.0], unit=text),
        Text(title=text, text=text),
        Failed(title=text, trace=text, reason=text),
        NotCaptured(title=text, trace=text, reason=text, remedy=text),
        NotApplicable(title=text, trace=text, reason=text),
    ]


@pytest.mark.parametrize("result", everywhere(EVIL), ids=lambda result: type(result).__name__)
def test_nothing_hostile_reaches_a_terminal(result: AnyResult) -> None:
    for drawn in (render.to_text(result), render.to_csv(result), render.to_json(result)):
        assert all(char == "\n" or char.isprintable() for char in drawn)
        assert "\\x1b" in drawn or "\\u001b" in drawn  # nor does it disappear
    assert render.to_json(result).isascii()


@pytest.mark.parametrize("result", everywhere(EVIL), ids=lambda result: type(result).__name__)
def test_json_is_exact(result: AnyResult) -> None:
    assert _holds(json.loads(render.to_json(result)))


def _holds(data: object) -> bool:
    if isinstance(data, dict):
        return any(_holds(each) for pair in data.items() for each in pair)
    if isinstance(data, list):
        return any(_holds(each) for each in data)
    return data == EVIL


def test_json_has_a_stable_shape_and_no_nan() -> None:
    assert json.loads(render.to_json(TABLE)) == {
        "kind": "table",
        "title": "norms",
        "columns": [
            {"name": "layer", "type": "int", "unit": ""},
            {"name": "token", "type": "str", "unit": ""},
            {"name": "norm", "type": "float", "unit": "nats"},
        ],
        "rows": [[0, " the", 4.3512345], [11, "日本", None], [2, "", None]],
        "absent": "not captured",
    }


def test_a_long_string_says_what_it_leaves_out() -> None:
    drawn = render.to_text(Table(columns=[Column("x", "str")], rows=[["a" * 10_000]]))
    assert drawn.endswith("…(+9952)")
    assert read(Table(columns=[Column("x", "str")], rows=[["a" * 10_000]]))[1] == ["a" * 10_000]
