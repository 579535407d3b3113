"""How `tensorshark read` prints traces: as a table for people, or as fields, CSV or JSON.

A format makes lines of pages of trace numbers, which may still be coming in while it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tensorshark.traces.text import csv_line, json_text, safe_text, token_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers
    from tensorshark.forensics.filter.answers.why import Why
    from tensorshark.traces.index import TraceRow

PAGE = 500
"""Traces fetched at a time."""
WHOLE = 1 << 30
"""A cap that cuts nothing: data is exact, only the table for people is made to fit."""
CURVE = 15
"""Cells of the norm curve, as in the workbench."""

Record = Sequence[Any]
"""One value per field: str, int, float, bool, None where absent, or a list of these."""
Pages = Iterable["Numbers"]
"""Numbers of the traces to print, some at a time; at least one page, which may be empty."""


class Asked(NamedTuple):
    """What to print of each trace."""

    fields: list[str]
    """As they were typed; none: what the format prints by itself."""
    why: str = ""
    """The filter whose reasons JSON has; empty: none."""
    selected: int = 0
    """Number of the trace that `$` speaks of, 0 for none."""


def _table(engine: Engine, pages: Pages, asked: Asked) -> Iterator[str]:
    limit, fields = output.width(), asked.fields
    if not fields:
        digits = len(str(len(engine.index)))
        columns = [
            Column("No", max(4, digits), right=True),
            Column("time", 8),
            Column("tok", 4, right=True),
            Column("label", 10),
            Column("next", 10),
            Column("norm by layer", CURVE),
            Column("prompt"),
        ]
        return output.table(columns, map(_row, _rows(engine, pages)), limit)
    pages = iter(pages)
    start = next(pages)  # the widths are those of what comes first
    records = (
        [_cell(value) for value in record] for record in _records(engine, [start], fields, asked.selected)
    )
    first = list(islice(records, PAGE))
    rest = ([_cell(value) for value in record] for record in _records(engine, pages, fields, asked.selected))
    columns = [
        Column(
            safe_text(field, 200),
            max([output.cells(safe_text(field, 200)), *(output.cells(row[place]) for row in first)]),
            right=all(_is_number(row[place]) for row in first),
        )
        for place, field in enumerate(fields)
    ]
    return output.table(columns, chain(first, records, rest), limit)


def _row(row: TraceRow) -> list[str]:
    """The cells of the workbench's list."""
    from tensorshark.tui.widgets.sparkline import spark

    label = row.labels.get("category") or next(iter(row.labels.values()), "")
    return [
        str(row.number),
        safe_text(row.captured_at[11:19]),
        str(row.seq_len),
        safe_text(label, 64),
        token_text(row.next_token) if row.next_token else "",
        spark(row.norms, CURVE),
        safe_text(row.prompt),
    ]


def _fields(engine: Engine, pages: Pages, asked: Asked) -> Iterator[str]:
    return ("\t".join(map(_cell, record)) for record in _records(engine, pages, asked.fields, asked.selected))


def _csv(engine: Engine, pages: Pages, asked: Asked) -> Iterator[str]:
    names = asked.fields or _every_field(engine)
    yield csv_line(names)
    for record in _records(engine, pages, names, asked.selected):
        yield csv_line(_cell(value) if _is_several(value) else _finite(value) for value in record)


def _jsonl(engine: Engine, pages: Pages, asked: Asked) -> Iterator[str]:
    names = asked.fields or _every_field(engine)
    for page in _paged(pages):
        reasons = engine.why(asked.why, page, asked.selected) if asked.why else []
        for place, record in enumerate(_records(engine, [page], names, asked.selected)):
            data = dict(zip(names, map(_finite, record), strict=True))
            if asked.why:
                data["why"] = list(map(_reason, reasons[place]))
            yield json_text(data)


def _reason(why: Why) -> dict[str, Any]:
    """One clause that made a trace match."""
    from msgspec import to_builtins

    data: dict[str, Any] = to_builtins(why)
    for cell in data["cells"]:
        values = {name: _finite(value) for name, value in cell.pop("values", {}).items()}
        cell.update({name: _finite(value) for name, value in cell.items()})
        if values:
            cell["values"] = values
    return data


def _json(engine: Engine, pages: Pages, asked: Asked) -> Iterator[str]:
    before = "["
    try:
        for line in _jsonl(engine, pages, asked):
            yield before + line
            before = ","
    except KeyboardInterrupt:  # what was found until then is an array all the same
        yield "]" if before == "," else "[]"
        raise
    yield "]" if before == "," else "[]"


FORMATS: dict[str, Callable[[Engine, Pages, Asked], Iterable[str]]] = {
    "table": _table,
    "fields": _fields,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
}


def _every_field(engine: Engine) -> list[str]:
    """What csv and json print when nothing else is asked for: all that says which trace it is."""
    from tensorshark.forensics.filter.fields import label

    labels = [label(key).name for key in engine.labels()]
    return ["number", "time", "id", "model", "seq_len", *labels, "next.token", "next.p", "prompt"]


def _paged(pages: Pages) -> Iterator[Numbers]:
    """The same, none larger than PAGE."""
    for numbers in pages:
        for start in range(0, max(1, len(numbers)), PAGE):  # once for none: a bad field is always told
            yield numbers[start : start + PAGE]


def _rows(engine: Engine, pages: Pages) -> Iterator[TraceRow]:
    for page in _paged(pages):
        yield from engine.rows(page)


def _records(engine: Engine, pages: Pages, fields: Sequence[str], selected: int) -> Iterator[Record]:
    """One record per trace; fetched a page at a time."""
    from tensorshark.forensics.filter import values

    context = engine.context(selected)
    for page in _paged(pages):
        columns = (values(field, engine.index, page, context=context) for field in fields)
        yield from zip(*columns, strict=True)


def _cell(value: Any) -> str:
    """A value as text; empty where absent, several joined with commas."""
    if _is_several(value):
        return ",".join(map(_cell, value))
    value = _finite(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"  # every float32 comes back from nine digits
    return str(value).lower() if isinstance(value, bool) else safe_text(str(value), WHOLE)


def _finite(value: Any) -> Any:
    """Python's own types; NaN means absent, infinity is a word."""
    if _is_several(value):
        return [_finite(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _is_several(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__")


def _is_number(text: str) -> bool:
    return not text or text.lstrip("-")[:1].isdigit() or text in ("inf", "-inf")
