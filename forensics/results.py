"""What analyzers return: data that says what it is, never text that was already drawn.

Every result renders as text, CSV and JSON (`forensics.render`) and as a pane of the workbench. All are
msgspec structs with a tag, so that a worker process can send them as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Cell = str | int | float | bool | None
"""None is an absent value; the row's table says why in `absent`."""


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of everything an analyzer may yield."""

    title: str = ""


class Row(Result, frozen=True, kw_only=True, tag="row"):
    """One typed row; the host gathers rows of the same columns into a Table."""

    trace: str = ""
    """The trace's id, or empty for a row about the corpus."""
    number: int = 0
    """The trace's number in the list, from 1."""
    cells: dict[str, Cell]


class Column(msgspec.Struct, frozen=True):
    """One column of a Table."""

    name: str
    type: Literal["str", "int", "float", "bool"]
    unit: str = ""


class Table(Result, frozen=True, kw_only=True, tag="table"):
    """Typed rows."""

    columns: list[Column]
    rows: list[list[Cell]]
    """One list per row, in the order of `columns`."""
    absent: str = ""
    """Why cells that are None are absent."""


class Line(msgspec.Struct, frozen=True):
    """One series of Lines."""

    name: str
    y: list[float | None]
    """Same length as `Lines.x`; None where there is no value."""


class Lines(Result, frozen=True, kw_only=True, tag="lines"):
    """Series over a shared axis, e.g. a norm per layer."""

    x_label: str
    y_label: str
    x: list[float]
    series: list[Line]


class Heatmap(Result, frozen=True, kw_only=True, tag="heatmap"):
    """A grid of numbers, optionally with a text per cell."""

    row_label: str
    column_label: str
    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]
    """(row, column)"""
    texts: list[list[str]] | None = None
    """(row, column); what to print in a cell instead of its number."""
    unit: str = ""


class TokenStrip(Result, frozen=True, kw_only=True, tag="tokens"):
    """One number per token."""

    tokens: list[str]
    values: list[float | None]
    unit: str = ""


class Text(Result, frozen=True, kw_only=True, tag="text"):
    """Plain text: a verdict, a caveat, a recommendation."""

    text: str


class Failed(Result, frozen=True, kw_only=True, tag="failed"):
    """An analyzer failed on one trace or as a whole; the others go on."""

    trace: str = ""
    reason: str


class NotCaptured(Result, frozen=True, kw_only=True, tag="not-captured"):
    """The capture lacks what is needed; `remedy` is what to type to have it."""

    trace: str = ""
    reason: str
    remedy: str


class NotApplicable(Result, frozen=True, kw_only=True, tag="not-applicable"):
    """The question makes no sense here, e.g. a diff of a trace with itself."""

    trace: str = ""
    reason: str


AnyResult = Row | Table | Lines | Heatmap | TokenStrip | Text | Failed | NotCaptured | NotApplicable
"""The closed set, for decoding what a worker sends."""


def cell(value: object, name: str) -> Cell:
    """The value as a Cell: numpy scalars become Python's. Raises TypeError, naming the column, for others."""
    if type(value) in _CELLS:
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return str(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", 0) == 1 and type(plain := item()) in _CELLS:
        return plain  # type: ignore[no-any-return]
    raise TypeError(f"{name} is a {type(value).__name__}; a cell is one str, int, float, bool or None")


def checked(value: object) -> Result:
    """What an analyzer yielded, as a Result whose types and lengths hold; TypeError says what does not."""
    if isinstance(value, Row):
        typed = {str(name): cell(each, str(name)) for name, each in value.cells.items()}
        return Row(title=value.title, trace=value.trace, number=value.number, cells=typed)
    if not isinstance(value, AnyResult):
        raise TypeError(f"it yielded a {type(value).__name__}; expected a row or a result")
    if isinstance(value, Table):
        rows = [[cell(each, "a cell") for each in row] for row in value.rows]
        value = msgspec.structs.replace(value, rows=rows)
        _same_length("a row of the table", value.rows, len(value.columns))
    try:
        result = msgspec.convert(msgspec.to_builtins(value), type=type(value))
    except (msgspec.ValidationError, TypeError) as error:
        raise TypeError(f"it yielded a {type(value).__name__} with a wrong value: {error}") from None
    if isinstance(result, Lines):
        _same_length("a series", [line.y for line in result.series], len(result.x))
    if isinstance(result, Heatmap):
        _same_length("the heatmap", [result.values], len(result.rows))
        if result.texts is not None:
            _same_length("the texts", [result.texts], len(result.rows))
        _same_length("a row of the heatmap", result.values, len(result.columns))
        _same_length("a row of the texts", result.texts or [], len(result.columns))
    if isinstance(result, TokenStrip):
        _same_length("the values", [result.values], len(result.tokens))
    return result


def _same_length(what: str, lists: Sequence[Sequence[object]], length: int) -> None:
    for values in lists:
        if len(values) != length:
            raise TypeError(f"{what} has {len(values)} values where there should be {length}")


_CELLS = (str, int, float, bool, type(None))
