"""`tensorshark note`: marks, tags and notes on traces, tokens and cells; they go into the case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.text import json_text, safe_text, token_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column
from tensorshark.tui.cli.selected import number_of, with_selected

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine
    from tensorshark.traces.case import Case, Spot

WHOLE = 1 << 30
"""A cap that cuts nothing."""
PAGE = 5000
"""Traces whose rows are fetched at a time."""

EPILOG = """\b
Examples:
  tensorshark note demo.tshark '#7' --mark                          mark trace 7
  tensorshark note demo.tshark 7c1e --mark suspect --text "copies the system prompt"
  tensorshark note demo.tshark '#7' --token -1 --layer 12 --text "the norm jumps here"
  tensorshark note demo.tshark -Y 'resid_post.norm#12[-1] > 90' --tag loud
  tensorshark note demo.tshark                                      what was said, by whom and when
  tensorshark note demo.tshark --undo                               take the last of it back
  tensorshark read demo.tshark -Y 'mark.suspect or tag == "loud"'

\b
Everything is kept in the case, NAME.case/ beside the capture (in your state folder where that cannot be
written), with author and time; nothing in the capture changes, and nothing that was said is ever removed:
taking back is said too. --mark takes the next word as its name; write TRACE before it.

\b
Exit codes: 0 ok, 1 nothing matched or nothing changed, 2 usage or filter, 3 no such capture, trace, token or
layer, 5 the case cannot be written.
"""


class Said(msgspec.Struct, frozen=True):
    """One line of what is listed."""

    kind: str
    """mark, tag or note."""
    text: str
    """Name of the mark, the tag, or what the note says."""
    number: int
    """Of the trace; 0 when the capture does not have it."""
    trace: str
    token: int | None
    layer: int | None
    by: str
    at: str
    note: int | None = None
    """Of a note: which of its trace's, for --strike."""


@click.command("note", epilog=EPILOG)
@click.argument("capture", type=click.Path())
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
@click.option("-Y", "--filter", "filter", default="", metavar="FILTER", help="All traces that match.")
@click.option("--text", metavar="TEXT", help="Write a note.")
@click.option(
    "--mark", is_flag=False, flag_value="mark", metavar="[NAME]", help="Mark; a filter says mark.NAME."
)
@click.option("--unmark", is_flag=False, flag_value="mark", metavar="[NAME]", help="Take that mark away.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Tag with any text; repeatable.")
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="Take that tag away; repeatable.")
@click.option("--strike", type=click.IntRange(min=1), metavar="N", help="Take note N of the trace away.")
@click.option("--token", type=int, metavar="P", help="On this token, from 0, or from the end: -1.")
@click.option("--layer", type=int, metavar="L", help="On this layer of that token.")
@click.option("--undo", is_flag=True, help="Take back what you said last.")
@click.option("--redo", is_flag=True, help="Take back the last --undo.")
@click.option("--list", "listed", is_flag=True, help="List what was said; so does no option at all.")
@click.option("--json", "as_json", is_flag=True, help="List as one array of objects.")
@with_selected
def command(
    capture: str,
    traces: tuple[str, ...],
    filter: str,
    text: str | None,
    mark: str | None,
    unmark: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    strike: int | None,
    token: int | None,
    layer: int | None,
    undo: bool,
    redo: bool,
    listed: bool,
    as_json: bool,
    selected: str,
) -> int:
    """Say something about traces of CAPTURE, each by #NUMBER or how its id begins; or list what was said."""
    said = (text, mark, unmark, strike)
    says = any(option is not None for option in said) or bool(tags or untags)
    if traces and filter.strip():
        raise UsageError("name traces, or take those of -Y FILTER; not both")
    if (undo or redo) and (says or traces or filter.strip() or (undo and redo)):
        raise UsageError("--undo and --redo stand alone")
    if says and not traces and not filter.strip():
        raise UsageError("name the traces that this is about: by #NUMBER, by id, or with -Y FILTER")
    if (token is not None or layer is not None) and (not says or strike is not None):
        raise UsageError("--token and --layer say where a mark, tag or note goes; name one")
    from tensorshark.forensics.engine import Engine
    from tensorshark.tui.cli.read import catch_up

    with Engine(capture, wait=False) as engine:
        catch_up(engine)
        for problem in engine.case.problems():
            output.note(problem)
        if undo or redo:
            return _back(engine.case, redo)
        numbers = _numbers(engine, traces, filter, selected)
        if filter.strip() and not numbers:
            output.note(f"no trace of {len(engine.index):,} matches")
            return 1
        code = 0
        if says:
            with engine.case.together():
                changed = 0
                for spot, ids in _places(engine, numbers, token, layer).items():
                    changed += _say(engine.case, ids, spot, text, mark, unmark, tags, untags)
                if strike is not None:
                    changed += _strike(engine, numbers, strike)
            code = 0 if changed else 1
            if not changed:
                output.note("nothing changed: that is how it is already")
        if listed or as_json or not says:
            chosen = bool(traces or filter.strip())
            _list(engine, engine.index.ids(numbers) if chosen else None, as_json)
        return code


def _numbers(engine: Engine, traces: Sequence[str], filter: str, selected: str) -> list[int]:
    """Of the traces that are meant, in capture order. Raises NotFoundError or FilterError."""
    if filter.strip():
        found: list[int] = engine.select(filter, selected=number_of(engine, selected)).tolist()
        return found
    return sorted({engine.number(name) for name in traces})


def _places(
    engine: Engine, numbers: Sequence[int], token: int | None, layer: int | None
) -> dict[Spot, list[str]]:
    """Where in the traces, counted from 0 -> ids. Raises NotFoundError for what is not there."""
    from tensorshark.traces.case import Spot

    if layer is not None and token is None:
        raise UsageError("--layer needs --token: what is said is about a trace, a token or a cell of both")
    if token is None:
        return {Spot(): engine.index.ids(numbers)}
    layers = {name: model.layers for name, model in engine.capture.models().items()}
    found: dict[Spot, list[str]] = {}
    for start in range(0, len(numbers), PAGE):
        for row in engine.rows(numbers[start : start + PAGE]):
            at = _counted(token, row.seq_len, "token", row.number)
            spot = Spot(at, _counted(layer, layers.get(row.model, 0), "layer", row.number))
            found.setdefault(spot, []).append(row.id)
    return found


def _counted(at: int | None, count: int, what: str, number: int) -> int | None:
    """From 0, whichever end it was counted from."""
    if at is not None and not -count <= at < count:
        raise NotFoundError(f"trace #{number} has {count} {what}s; there is no {what} {at}")
    return at % count if at is not None else None


def _say(
    case: Case,
    ids: Sequence[str],
    spot: Spot,
    text: str | None,
    mark: str | None,
    unmark: str | None,
    tags: Sequence[str],
    untags: Sequence[str],
) -> int:
    """How many traces, or places in them, it changed."""
    where = {"token": spot.token, "layer": spot.layer}
    done: list[tuple[int, str]] = []
    if mark is not None:
        done.append((case.mark(ids, mark, **where), f"marked {mark}"))
    if unmark is not None:
        done.append((case.unmark(ids, unmark, **where), f"not marked {unmark} any more"))
    done += [(case.tag(ids, tag, **where), f"tagged {safe_text(tag, 40)}") for tag in tags]
    done += [(case.untag(ids, tag, **where), f"not tagged {safe_text(tag, 40)} any more") for tag in untags]
    if text is not None:
        done.append((case.note(ids, text, **where), "noted"))
    for count, what in done:
        if count:
            output.note(f"{count:,} trace{'s' * (count != 1)} {what}{_where(spot)}")
    return sum(count for count, _ in done)


def _where(spot: Spot) -> str:
    layer = f", layer {spot.layer}" if spot.layer is not None else ""
    return f" at token {spot.token}{layer}" if spot.token is not None else ""


def _strike(engine: Engine, numbers: Sequence[int], which: int) -> int:
    if len(numbers) != 1:
        raise UsageError("--strike takes a note of one trace away; name that trace")
    notes = engine.case.notes(engine.index.id_of(numbers[0]))
    if which > len(notes):
        raise NotFoundError(
            f"trace #{numbers[0]} has {len(notes)} note{'s' * (len(notes) != 1)}; there is no note {which}"
        )
    output.note(f"struck: {safe_text(notes[which - 1].text, 80)}")
    return engine.case.strike(notes[which - 1].id)


def _back(case: Case, redo: bool) -> int:
    events = case.redo() if redo else case.undo()
    if not events:
        output.note("there is nothing of yours to take back")
        return 1
    output.note(f"{'said again' if redo else 'taken back'}: {len(events)} event{'s' * (len(events) != 1)}")
    return 0


def _list(engine: Engine, ids: Sequence[str] | None, as_json: bool) -> None:
    """What was said about these traces, or about any."""
    lines = list(_lines(engine, ids))
    if as_json:
        output.write([json_text([msgspec.to_builtins(line) for line in lines])])
        return
    titles = ("at", "what", "by", "time", "text")
    columns = [Column("trace", right=True), *map(Column, titles)]
    output.write(output.table(columns, map(_row, lines), output.width()))


def _lines(engine: Engine, ids: Sequence[str] | None) -> Iterator[Said]:
    case = engine.case
    if ids is None:
        ids = sorted(case.marked() | case.tagged() | case.noted())
        numbers = _numbered(engine, ids)
        ids = sorted(ids, key=lambda trace: (numbers[trace] or 1 << 62, trace))
    else:
        numbers = _numbered(engine, ids)
    for trace in ids:
        found: list[tuple[str, Any, int | None]] = [
            *(("mark", mark, None) for mark in case.marks(trace)),
            *(("tag", tag, None) for tag in case.tags(trace)),
            *(("note", note, at) for at, note in enumerate(case.notes(trace), 1)),
        ]
        for kind, each, which in found:
            text = each.text if kind == "note" else each.name
            spot = each.spot
            yield Said(kind, text, numbers[trace], trace, spot.token, spot.layer, each.by, each.at, which)


def _numbered(engine: Engine, ids: Sequence[str]) -> dict[str, int]:
    """Id -> number; 0 for a trace that the capture does not have."""
    if len(ids) < PAGE:
        return {trace: engine.index.number_of(trace) for trace in ids}
    every = dict(engine.index.query("SELECT id, row FROM traces"))
    return {trace: every.get(trace, 0) for trace in ids}


def _row(said: Said) -> list[str]:
    where = "" if said.token is None else f"[{said.token}]"
    where += "" if said.layer is None else f"#{said.layer}"
    name = f"#{said.number}" if said.number else said.trace
    kind = f"note {said.note}" if said.note else said.kind
    text = safe_text(said.text, WHOLE) if said.kind == "note" else token_text(said.text, WHOLE)
    return [name, where, kind, safe_text(said.by, 40), said.at[:19], text]
