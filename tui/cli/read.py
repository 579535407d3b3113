"""`tensorshark read`: list the traces of a capture, filtered, as text or data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import csv_line, json_text, safe_text, token_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers
    from tensorshark.traces.index import TraceRow

PAGE = 500
"""Traces fetched at a time."""
WHOLE = 1 << 30
"""A cap that cuts nothing: data is exact, only the table for people is made to fit."""
CURVE = 15
"""Cells of the norm curve, as in the workbench."""

Record = Sequence[Any]
"""One value per field: str, int, float, bool, None where absent, or a list of these."""

EPILOG = """\b
Examples:
  tensorshark read demo.tshark
  tensorshark read -r demo.tshark -Y 'label.category == "injection" and seq_len > 10'
  tensorshark read demo.tshark -Y 'resid_post.norm#12[-1] > 40' --sort 'resid_post.norm#12[-1]' --desc
  tensorshark read demo.tshark -T fields -e id -e seq_len -e next.token
  tensorshark read demo.tshark -T jsonl | jq -r .prompt

\b
Formats:
  table   for people: fits the terminal, unless stdout is not one
  fields  the -e fields, tab-separated; newlines shown as ⏎, tabs as ⇥
  csv     a header, then a line per trace; text is shown as in fields
  jsonl   one object per trace; keys are field names, text is exact, absent values are null
  json    one array of these objects
  Without -e, csv and json have number, time, id, model, seq_len, every label, next.token, next.p, prompt.
  Several values of one field are joined with commas in fields and csv, and an array in JSON.
  Numbers that are not finite are "inf" and "-inf"; times are UTC.

\b
Exit codes: 0 ok, 1 the filter matched nothing, 2 the filter cannot be read, 3 no such capture.
"""


@click.command("read", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option("-r", "--read", "also", type=click.Path(), metavar="CAP", help="The capture, as in tshark.")
@click.option("-Y", "--filter", "text", default="", metavar="FILTER", help="Only traces that match.")
@click.option(
    "-T",
    "--format",
    "form",
    type=click.Choice(["table", "fields", "json", "jsonl", "csv"]),
    default="table",
    help="How to print; see Formats.",
)
@click.option("-e", "--field", "fields", multiple=True, metavar="FIELD", help="Print this field; repeatable.")
@click.option("--sort", default="", metavar="FIELD", help="Order by this field; traces without it come last.")
@click.option("--desc", is_flag=True, help="Largest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N traces.")
def command(
    capture: str | None,
    also: str | None,
    text: str,
    form: str,
    fields: tuple[str, ...],
    sort: str,
    desc: bool,
    limit: int | None,
) -> int:
    """List the traces of CAPTURE. FIELD is any field of `tensorshark fields`, e.g. resid_post.norm#12[-1]."""
    if (capture is None) == (also is None):
        raise UsageError("name one capture: tensorshark read CAPTURE, or -r CAPTURE")
    if form == "fields" and not fields:
        raise UsageError("-T fields prints the fields of -e; name at least one, e.g. -e id -e seq_len")
    from tensorshark.forensics.engine import Engine

    with Engine(capture or also or "", wait=False) as engine:
        catch_up(engine)
        numbers = engine.select(text, sort, desc)
        shown = numbers if limit is None else numbers[:limit]
        output.write(FORMATS[form](engine, shown, list(fields)))
        if more := len(numbers) - len(shown):
            output.note(f"{len(shown):,} of {len(numbers):,} traces; {more:,} more without --limit")
        if text.strip() and not len(numbers):
            output.note(f"no trace of {len(engine.index):,} matches")
            return 1
    return 0


def catch_up(engine: Engine) -> None:
    """Bring the index up to date; the first time on a large capture takes long enough to say so."""
    with output.progress("indexing traces") as show:
        while engine.follow():
            engine.refresh(0.25)
            show(len(engine.index), len(engine.capture))


def _table(engine: Engine, numbers: Numbers, fields: list[str]) -> Iterator[str]:
    limit = output.width()
    if not fields:
        digits = len(str(numbers.max())) if len(numbers) else 1
        columns = [
            Column("No", max(4, digits), right=True),
            Column("time", 8),
            Column("tok", 4, right=True),
            Column("label", 10),
            Column("next", 10),
            Column("norm by layer", CURVE),
            Column("prompt"),
        ]
        return output.table(columns, map(_row, _rows(engine, numbers)), limit)
    records = ([_cell(value) for value in record] for record in _records(engine, numbers, fields))
    first = list(islice(records, PAGE))
    columns = [
        Column(
            safe_text(field, 200),
            max([output.cells(safe_text(field, 200)), *(output.cells(row[place]) for row in first)]),
            right=all(_is_number(row[place]) for row in first),
        )
        for place, field in enumerate(fields)
    ]
    return output.table(columns, chain(first, records), limit)


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


def _fields(engine: Engine, numbers: Numbers, fields: list[str]) -> Iterator[str]:
    return ("\t".join(map(_cell, record)) for record in _records(engine, numbers, fields))


def _csv(engine: Engine, numbers: Numbers, fields: list[str]) -> Iterator[str]:
    names = fields or _every_field(engine)
    yield csv_line(names)
    for record in _records(engine, numbers, names):
        yield csv_line(_cell(value) if _is_several(value) else _finite(value) for value in record)


def _jsonl(engine: Engine, numbers: Numbers, fields: list[str]) -> Iterator[str]:
    names = fields or _every_field(engine)
    for record in _records(engine, numbers, names):
        yield json_text(dict(zip(names, map(_finite, record), strict=True)))


def _json(engine: Engine, numbers: Numbers, fields: list[str]) -> Iterator[str]:
    lines = _jsonl(engine, numbers, fields)
    before = "["
    for line in lines:
        yield before + line
        before = ","
    yield "]" if before == "," else "[]"


FORMATS: dict[str, Callable[[Engine, Numbers, list[str]], Iterable[str]]] = {
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


def _rows(engine: Engine, numbers: Numbers) -> Iterator[TraceRow]:
    for start in range(0, len(numbers), PAGE):
        yield from engine.rows(numbers[start : start + PAGE])


def _records(engine: Engine, numbers: Numbers, fields: Sequence[str]) -> Iterator[Record]:
    """One record per trace; fetched a page at a time."""
    from tensorshark.forensics.filter import values

    for start in range(0, max(1, len(numbers)), PAGE):  # once for an empty list: a bad field is always told
        page = numbers[start : start + PAGE]
        yield from zip(*(values(field, engine.index, page) for field in fields), strict=True)


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
