"""`tensorshark fields`: every field that filters, columns and `read -e` can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.filter.fields import FieldInfo
    from tensorshark.traces.store import Capture

SIGNS = {"layer": "#layer", "head": ":head", "pos": "[pos]"}
"""How each axis is written behind a field's name."""

EPILOG = """\b
Examples:
  tensorshark fields
  tensorshark fields demo.tshark          with the labels of that capture, and how many traces have each
  tensorshark fields --json | jq -r '.[].name'
"""


@click.command("fields", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option(
    "--json", "as_json", is_flag=True, help="One array of objects: name, type, axes, unit, help ..."
)
def command(capture: str | None, as_json: bool) -> int:
    """Every field that filters, columns and `read -e` can use; CAPTURE adds its labels, marks and macros.

    `from` says what is read for it: the index, manifests, statistics, the case, or which analyzer measures
    it. With CAPTURE, the column before it says how many of its traces have the field, where the index knows.
    """
    from tensorshark.forensics.filter.fields import fields
    from tensorshark.forensics.measured import declared

    traces = None
    if capture is None:
        found = fields()
    else:
        from tensorshark.traces.index import Index
        from tensorshark.traces.store import Capture

        with Index.open(Capture.open(capture)) as index:
            found, traces = fields(index, None), len(index)
            found = [*_with_marks(found, index.capture), *_macros(index.capture)]
    if as_json:
        output.write([json_text([_data(field) for field in found])])
    else:
        columns = [Column("field"), Column("type"), Column("unit"), Column("from"), Column("meaning")]
        if traces is not None:
            columns.insert(3, Column(f"of {traces:,}", right=True))
        output.write(output.table(columns, (_row(field, traces) for field in found), output.width()))
    for problem in declared.problems():
        output.note(f"left out: {problem}")
    return 0


def _with_marks(found: list[FieldInfo], capture: Capture) -> Iterator[FieldInfo]:
    """The fields, and in the place of `mark.*` one for each mark of the case."""
    from tensorshark.forensics import config
    from tensorshark.forensics.filter.fields import mark

    case = config.of(capture).case
    for field in found:
        if field.name != "mark.*" or case is None:
            yield field
            continue
        for name in case.mark_names():
            yield msgspec.structs.replace(mark(name), traces=len(case.marked(name)))


def _macros(capture: Capture) -> Iterator[FieldInfo]:
    """Macros as if they were fields, for the listing: the meaning is their text."""
    from tensorshark.forensics import config
    from tensorshark.forensics.filter.fields import FIELDS

    for name, text in config.of(capture).macros.items():
        said = {"name": f"${{{name}}}", "type": "macro", "help": text, "source": "macro", "example": text}
        yield msgspec.structs.replace(FIELDS[0], axes=(), unit="", **said)


def _row(field: FieldInfo, traces: int | None) -> list[str]:
    name = safe_text(field.name, 80) + "".join(SIGNS[axis] for axis in field.axes)
    have = [] if traces is None else ["" if field.traces is None else f"{field.traces:,}"]
    source = safe_text(field.key, 40) if field.kind == "analyzer" else field.source
    return [name, field.type, field.unit, *have, source, safe_text(field.help)]


def _data(field: FieldInfo) -> dict[str, object]:
    from tensorshark.forensics.measured import declared

    made = declared.find(field.name) if field.kind == "analyzer" else None
    return {
        "name": field.name,
        "type": field.type,
        "axes": list(field.axes),
        "unit": field.unit,
        "help": field.help,
        "source": field.source,
        "analyzer": made.analyzer if made else None,
        "needs": made.needed if made else "",
        "example": field.example,
        "traces": field.traces,
    }
