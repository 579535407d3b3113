"""What the lines typed after `:` do; `actions.COMMANDS` says what there is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.text import safe_text
from tensorshark.tui import moves
from tensorshark.tui.actions import PANES, command
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.widgets.columns import COLUMNS
from tensorshark.tui.widgets.trace_list import find

if TYPE_CHECKING:
    from tensorshark.tui.app import Workbench


def run(app: Workbench, line: str) -> None:
    """Run one line. Raises TensorsharkError with what is wrong with it, in words."""
    which, rest = command(line)
    RUNNERS[which.name](app, rest)


def _goto(app: Workbench, rest: str) -> None:
    if not rest:
        raise UsageError(":goto needs a trace's number or id")
    number = int(rest) if rest.isdecimal() and len(rest) < 12 else app.number_of(rest)
    if not 1 <= number <= app.state.total:
        raise NotFoundError(f"no trace {safe_text(rest, 40)}; the capture has {app.state.total:,}")
    index = find(app.rows.numbers, number)
    if index < 0:
        raise NotFoundError(f"trace {number} does not pass the filter; X clears it")
    app.rows.move_to(index)


def _filter(app: Workbench, rest: str) -> None:
    app.filter.put(rest)
    app.filter.remember(rest)
    app.apply(rest)


def _sort(app: Workbench, rest: str) -> None:
    if not rest:
        raise UsageError(":sort needs a column or a field expression")
    name, _, last = rest.rpartition(" ")
    said = bool(name) and last in ("asc", "desc")
    expression, down = (name.strip(), last == "desc") if said else (rest, False)
    column = next((column for column in COLUMNS if column.name == expression), None)
    if column is not None:
        app.order_by(column.name, column.sort, down)
    else:
        app.order_by(safe_text(expression, 40), expression, down)


def _pane(app: Workbench, rest: str) -> None:
    app.action_pane(_one_of(rest, "pane", [pane.name for pane in PANES]))


def _layer(app: Workbench, rest: str) -> None:
    _place(app, layer=_whole(rest, "layer"))


def _token(app: Workbench, rest: str) -> None:
    token = _whole(rest, "token")
    trace = app.subject.trace if app.subject else None
    _place(app, token=token + len(trace.token_ids) if trace and token < 0 else token)


def _head(app: Workbench, rest: str) -> None:
    _place(app, head=_whole(rest, "head"))


def _site(app: Workbench, rest: str) -> None:
    trace = app.subject.trace if app.subject else None
    _place(app, site=_one_of(rest, "site", moves.sites(trace) if trace else []))


def _place(app: Workbench, **changes: Any) -> None:
    app.move(replace(app.cursor, **changes))


def _theme(app: Workbench, rest: str) -> None:
    app.use_theme(_one_of(rest, "theme", PALETTES))


def _whole(text: str, what: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise UsageError(f":{what} needs a whole number, not {safe_text(text, 40)!r}")
    return int(text)


def _one_of(text: str, what: str, names: Iterable[str]) -> str:
    """The name that was meant: equal but for case, else the only one that starts so."""
    names = list(names)
    hits = [name for name in names if name.lower() == text.lower()]
    hits = hits or [name for name in names if text and name.lower().startswith(text.lower())]
    if len(hits) == 1:
        return hits[0]
    near = difflib.get_close_matches(text, names, 1)
    offer = f"did you mean {near[0]}?" if near else f"one of {', '.join(names) or 'none'}"
    raise UsageError(f"no {what} {safe_text(text, 40)!r}; {offer}")


RUNNERS: dict[str, Callable[[Workbench, str], object]] = {
    "goto": _goto,
    "filter": _filter,
    "sort": _sort,
    "pane": _pane,
    "layer": _layer,
    "token": _token,
    "site": _site,
    "head": _head,
    "theme": _theme,
    "mark": lambda app, _: app.action_mark(),
    "help": lambda app, _: app.action_help(),
    "quit": lambda app, _: app.exit(),
}
"""One per entry of `actions.COMMANDS`; a test holds them to that."""
