r"""Results as text, CSV and JSON. Plain: no colour, no escape sequences, whatever the data holds.

Text is for reading: four significant digits, `–` where there is no value, strings through `safe_text`
with the outer spaces shown as `·`. CSV keeps every digit; strings go through `safe_text` too, and one that
a spreadsheet would take for a formula gets a `'` before it. JSON is exact: strings as captured, written in
ASCII (`\u001b`), so that it can be printed; a number that is not finite is null, as is an absent value.

JSON of a result is its struct: {"kind": "table", "title": …, "columns": [{"name", "type", "unit"}], "rows":
[[…]], "absent": …} and so for the kinds `row`, `lines`, `heatmap`, `tokens`, `text`, `failed`, `not-captured`
and `not-applicable`, with the fields that `forensics.results` documents. Keys are added, never changed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tensorshark.forensics.results import (
    Cell,
    Failed,
    Heatmap,
    Lines,
    NotApplicable,
    NotCaptured,
    Result,
    Row,
    Table,
    Text,
    TokenStrip,
)
from tensorshark.traces.text import safe_text, token_text

ABSENT = "–"
BLOCKS = "▁▂▃▄▅▆▇█"
CELL = 48
"""Characters of a string that a text table shows; a longer one says how many it does not."""
PROBLEM = ["kind", "trace", "reason", "remedy"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WHOLE = 1 << 30


def to_text(result: Result) -> str:
    """The result for a person, ending without a newline."""
    body = _text(result)
    return f"{safe_text(result.title)}\n{body}" if result.title and not _is_problem(result) else body


def to_csv(result: Result) -> str:
    """The result as CSV with a header line; a heatmap has a line per cell, Lines a line per x."""
    header, rows = _records(result)
    return "".join(f"{line}\n" for line in csv_lines(header, rows))


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Lines of CSV without their line ends; safe to print, and safe to open in a spreadsheet."""
    for row in (header, *rows):
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow([_csv(value) for value in row])
        yield out.getvalue()


def to_json(result: msgspec.Struct) -> str:
    """The result as one line of JSON."""
    return json.dumps(to_data(result), allow_nan=False)


def to_data(result: msgspec.Struct) -> object:
    """The result as plain JSON types."""
    return _finite(msgspec.to_builtins(result))


def number(value: float) -> str:
    """A number for a person: whole ones plainly, others with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def sparkline(values: Sequence[float | None]) -> str:
    """One block for each value, from the smallest to the largest; a space where there is none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, span = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    step = (len(BLOCKS) - 1) / span if span else 0.0
    return "".join(
        " " if value is None or not math.isfinite(value) else BLOCKS[round((value - low) * step)]
        for value in values
    )


def _is_problem(result: Result) -> bool:
    return isinstance(result, Failed | NotCaptured | NotApplicable)


def _text(result: Result) -> str:
    match result:
        case Table():
            header = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in result.columns]
            rows = ([_shown(value) for value in row] for row in result.rows)
            drawn = _grid(_safe(header), rows, [c.type == "str" for c in result.columns])
            return f"{drawn}\n{ABSENT} {safe_text(result.absent)}" if result.absent else drawn
        case Row():
            return "  ".join(f"{safe_text(name)} {_shown(value)}" for name, value in result.cells.items())
        case Lines():
            return _lines(result)
        case Heatmap():
            return _heatmap(result)
        case TokenStrip():
            rows = ([token_text(t), _shown(v)] for t, v in zip(result.tokens, result.values, strict=True))
            return _grid(_safe(["token", result.unit or "value"]), rows, [True, False])
        case Text():
            return "\n".join(safe_text(line, _WHOLE) for line in result.text.split("\n"))
        case Failed():
            return f"failed: {_about(result.title, result.trace)}{safe_text(result.reason)}"
        case NotCaptured():
            about = _about(result.title, result.trace)
            return f"not captured: {about}{safe_text(result.reason)}; {safe_text(result.remedy)}"
        case NotApplicable():
            return f"not applicable: {_about(result.title, result.trace)}{safe_text(result.reason)}"
    raise TypeError(f"no text for a {type(result).__name__}")


def _about(title: str, trace: str) -> str:
    return "".join(f"{safe_text(part)}: " for part in (title, trace and f"trace {trace}") if part)


def _lines(result: Lines) -> str:
    header = [result.y_label, f"{result.x_label} {_span(result.x)}", "first", "last", "min", "max"]
    rows: list[list[str]] = []
    for line in result.series:
        known = [y for y in line.y if y is not None and math.isfinite(y)]
        ends = [line.y[0], line.y[-1]] if line.y else [None, None]
        extremes = [min(known), max(known)] if known else [None, None]
        rows.append([_shown(line.name), sparkline(line.y), *map(_shown, [*ends, *extremes])])
    return _grid(_safe(header), rows, [True, True, False, False, False, False])


def _span(x: Sequence[float]) -> str:
    return f"{number(x[0])} to {number(x[-1])}" if x else "(none)"


def _heatmap(result: Heatmap) -> str:
    if result.texts:
        cells = [[token_text(text) for text in row] for row in result.texts]
    else:
        cells = [[_shown(value) for value in row] for row in result.values]
    unit = f" [{result.unit}]" if result.unit and not result.texts else ""
    corner = f"{result.row_label}{unit} \\ {result.column_label}"
    header = [safe_text(corner, CELL), *(token_text(name, CELL) for name in result.columns)]
    rows = [[_shown(name), *row] for name, row in zip(result.rows, cells, strict=True)]
    return _grid(header, rows, [True, *[bool(result.texts)] * len(result.columns)])


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[bool]) -> str:
    """Columns of safe text, two spaces apart; `left` says which are aligned to the left."""
    lines = [header, *rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_padded, line, widths, left)).rstrip() for line in lines)


def _safe(names: Sequence[str]) -> list[str]:
    return [safe_text(name, CELL) for name in names]


def _shown(value: Cell) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, str):
        inner = value.strip(" ")
        if len(inner) == len(value):
            return safe_text(value, CELL)
        # Outer spaces would be lost between columns, and in tokens they mean something.
        before = len(value) - len(value.lstrip(" ")) if inner else 0
        return "·" * before + safe_text(inner, CELL) + "·" * (len(value) - len(inner) - before)
    return number(value)


def _width(text: str) -> int:
    """Columns of a terminal that already safe text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text


def _records(result: Result) -> tuple[list[str], Iterable[Sequence[Cell]]]:
    """Header and rows for CSV."""
    match result:
        case Table():
            return [c.name for c in result.columns], result.rows
        case Row():
            cells = {"number": result.number or None, "trace": result.trace, **result.cells}
            return list(cells), [list(cells.values())]
        case Lines():
            x = (int(value) if value.is_integer() else value for value in result.x)
            columns = zip(x, *(line.y for line in result.series), strict=True)
            return [result.x_label, *(line.name for line in result.series)], columns
        case Heatmap():
            return [result.row_label, result.column_label, result.unit or "value", "text"], (
                (row, column, result.values[i][j], result.texts[i][j] if result.texts else None)
                for i, row in enumerate(result.rows)
                for j, column in enumerate(result.columns)
            )
        case TokenStrip():
            return ["token", result.unit or "value"], zip(result.tokens, result.values, strict=True)
        case Text():
            return ["text"], [[result.text]]
        case NotCaptured():
            return PROBLEM, [["not-captured", result.trace, result.reason, result.remedy]]
        case Failed():
            return PROBLEM, [["failed", result.trace, result.reason, None]]
        case NotApplicable():
            return PROBLEM, [["not-applicable", result.trace, result.reason, None]]
    raise TypeError(f"no CSV for a {type(result).__name__}")


def _csv(value: Cell) -> Cell:
    if not isinstance(value, str):
        return value
    guarded = f"'{value}" if value.startswith(_FORMULA) else value
    return safe_text(guarded, _WHOLE)


def _finite(value: object) -> object:
    """The same JSON types with None for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value
