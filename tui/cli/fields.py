"""`tensorshark fields`: every field that filters, columns and `read -e` can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.filter.fields import FieldInfo

SIGNS = {"layer": "#layer", "head": ":head", "pos": "[pos]"}
"""How each axis is written behind a field's name."""

EPILOG = """\b
Examples:
  tensorshark fields
  tensorshark fields demo.tshark          with the labels of that capture, and how many traces have them
  tensorshark fields --json | jq -r '.[].name'
"""


@click.command("fields", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option(
    "--json", "as_json", is_flag=True, help="One array of objects: name, type, axes, unit, help ..."
)
def command(capture: str | None, as_json: bool) -> int:
    """Every field that filters, columns and `read -e` can use; with CAPTURE, its labels too."""
    from tensorshark.forensics.filter.fields import fields

    if capture is None:
        found = fields()
    else:
        from tensorshark.traces.index import Index
        from tensorshark.traces.store import Capture

        with Index.open(Capture.open(capture)) as index:
            found = fields(index)
    if as_json:
        output.write([json_text([_data(field) for field in found])])
        return 0
    columns = [Column("field"), Column("type"), Column("unit"), Column("meaning")]
    output.write(output.table(columns, map(_row, found), output.width()))
    return 0


def _row(field: FieldInfo) -> list[str]:
    name = safe_text(field.name, 80) + "".join(SIGNS[axis] for axis in field.axes)
    have = "" if field.traces is None else f" ({field.traces:,} traces)"
    return [name, field.type, field.unit, safe_text(field.help) + have]


def _data(field: FieldInfo) -> dict[str, object]:
    return {
        "name": field.name,
        "type": field.type,
        "axes": list(field.axes),
        "unit": field.unit,
        "help": field.help,
        "source": field.source,
        "example": field.example,
        "traces": field.traces,
    }
