"""`tensorshark macro`: texts that filters are made of, and whole filters, kept in the case by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine

WHOLE = 1 << 30
"""A cap that cuts nothing."""

EPILOG = """\b
Examples:
  tensorshark macro demo.tshark                                      all of them
  tensorshark macro demo.tshark loud '(resid_post.norm#$1[-1] > $2)'
  tensorshark read demo.tshark -Y '${loud(12, 90)} and not bos'
  tensorshark macro demo.tshark --filter "loud ones" '${loud(12, 90)}'
  tensorshark macro demo.tshark loud                                 print its text
  tensorshark macro demo.tshark loud --remove

\b
In a macro's text $1 to $9 stand for its arguments: ${loud(12, 90)} or ${loud;12;90}. A saved filter is a
whole filter under a name, which has to be readable when it is saved. Both are kept in the case, beside the
capture; `tensorshark note CAPTURE --undo` takes them back too. Macros for all captures stand in config.toml:
  [macros]
  loud = "(resid_post.norm#$1[-1] > $2)"

\b
Exit codes: 0 ok, 1 it says that already, 2 usage or filter, 3 no such capture or name, 5 the case cannot be
written.
"""


class Kept(msgspec.Struct, frozen=True):
    """One line of what is listed."""

    kind: str
    """macro or filter."""
    name: str
    text: str
    description: str
    source: str
    """case, or config for one of config.toml."""
    by: str = ""
    at: str = ""


@click.command("macro", epilog=EPILOG)
@click.argument("capture", type=click.Path())
@click.argument("name", required=False)
@click.argument("text", required=False)
@click.option("--filter", "is_filter", is_flag=True, help="A saved filter instead of a macro.")
@click.option("--describe", "description", default="", metavar="WORDS", help="What it is for.")
@click.option("--remove", is_flag=True, help="Take NAME away.")
@click.option("--list", "listed", is_flag=True, help="List them; so does CAPTURE alone.")
@click.option("--json", "as_json", is_flag=True, help="List as one array of objects.")
def command(
    capture: str,
    name: str | None,
    text: str | None,
    is_filter: bool,
    description: str,
    remove: bool,
    listed: bool,
    as_json: bool,
) -> int:
    """Keep TEXT in the case of CAPTURE as macro NAME, for ${NAME} in filters; or list, print or remove."""
    if remove and (name is None or text is not None):
        raise UsageError("--remove takes the NAME of a macro away, and no TEXT")
    if (listed or as_json) and name is not None:
        raise UsageError("--list and --json list all; leave NAME away")
    if description and text is None:
        raise UsageError("--describe goes with NAME and TEXT")
    from tensorshark.forensics.engine import Engine

    with Engine(capture, wait=False) as engine:
        for problem in engine.case.problems():
            output.note(problem)
        if name is None:
            _list(engine, is_filter, as_json)
            return 0
        if remove:
            (engine.case.remove_filter if is_filter else engine.case.remove_macro)(name)
            return 0
        if text is None:
            output.write([_text(engine, name, is_filter)])
            return 0
        return 0 if _define(engine, name, text, description, is_filter) else 1


def _define(engine: Engine, name: str, text: str, description: str, is_filter: bool) -> bool:
    """False when it says that already. Raises FilterError for a filter that cannot be read."""
    if is_filter:
        from tensorshark.forensics.filter import parse

        parse(text, engine.context().macros)
    changed = (engine.case.save_filter if is_filter else engine.case.define_macro)(name, text, description)
    if not changed:
        output.note(f"{safe_text(name, 64)} says that already")
    return bool(changed)


def _text(engine: Engine, name: str, is_filter: bool) -> str:
    kind = "filter" if is_filter else "macro"
    for kept in _kept(engine):
        if (kept.kind, kept.name) == (kind, name):
            return safe_text(kept.text, WHOLE)
    what = "saved filter" if is_filter else "macro"
    raise NotFoundError(f"there is no {what} {safe_text(name, 64)!r}; `tensorshark macro CAPTURE` lists them")


def _list(engine: Engine, only_filters: bool, as_json: bool) -> None:
    found = [kept for kept in _kept(engine) if kept.kind == "filter" or not only_filters]
    if as_json:
        output.write([json_text([msgspec.to_builtins(kept) for kept in found])])
        return
    columns = [Column("kind"), Column("name"), Column("from"), Column("text")]
    output.write(output.table(columns, map(_row, found), output.width()))


def _row(kept: Kept) -> list[str]:
    name = f"${{{kept.name}}}" if kept.kind == "macro" else safe_text(kept.name, 64)
    about = f"  ({safe_text(kept.description, 400)})" if kept.description else ""
    source = kept.source if not kept.by else f"{kept.source}, {safe_text(kept.by, 40)}"
    return [kept.kind, name, source, safe_text(kept.text, WHOLE) + about]


def _kept(engine: Engine) -> Iterator[Kept]:
    """Macros of the case, those of the user that it does not have, and saved filters."""
    from tensorshark.forensics import config

    ours = engine.case.macros
    found = [Kept("macro", *saved[:3], "case", *saved[3:]) for saved in ours.values()]
    mine = config.macros().items()
    found += [Kept("macro", name, *saved, "config") for name, saved in mine if name not in ours]
    yield from sorted(found, key=lambda kept: kept.name)
    yield from (Kept("filter", *saved[:3], "case", *saved[3:]) for saved in engine.case.filters.values())
