"""Undo: which action comes next, and the events that take it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorshark.traces.case.events import (
    AnyEvent,
    DefineMacro,
    Mark,
    RemoveFilter,
    RemoveMacro,
    Restore,
    SaveFilter,
    Strike,
    Tag,
    Unmark,
    Untag,
    Write,
)
from tensorshark.traces.case.state import Names, State, spot_of


class Change(NamedTuple):
    """An event that is yet to be written."""

    kind: type[AnyEvent]
    said: dict[str, Any]
    """What the kind adds to an Event."""


def actions(events: Sequence[AnyEvent], by: str, undone: bool = False) -> list[str]:
    """What `by` did and has not taken back, the last action last; with `undone` the undos to take back."""
    done: dict[str, None] = {}
    back: dict[str, None] = {}
    target: dict[str, str] = {}
    """Action -> what it took back; empty for one that took back none."""
    for event in events:
        if event.by != by or event.action in target:
            continue
        target[event.action] = event.undoes
        if not event.undoes:
            done[event.action] = None
            back.clear()  # what was undone before something new was done stays undone
        elif again := target.get(event.undoes):
            back.pop(event.undoes, None)
            done[again] = None
        else:
            done.pop(event.undoes, None)
            back[event.action] = None
    return list(back if undone else done)


def inverse(events: Sequence[AnyEvent], action: str) -> list[Change]:
    """What takes an action back, its last event first; nothing where it changed nothing."""
    state, changes = State(), list[Change]()
    for event in events:
        if event.action == action:
            changes[:0] = _inverse(event, state)
        state.apply(event)
    return changes


def _inverse(event: AnyEvent, before: State) -> list[Change]:
    match event:
        case Mark():
            return _attached(event, before.marks, Unmark, had=False)
        case Unmark():
            return _attached(event, before.marks, Mark, had=True)
        case Tag():
            return _attached(event, before.tags, Untag, had=False)
        case Untag():
            return _attached(event, before.tags, Tag, had=True)
        case Write():
            return [Change(Strike, {"note": event.id})]
        case Strike():
            return [Change(Restore, {"note": event.note})] * (before.note(event.note) is not None)
        case Restore():
            return [Change(Strike, {"note": event.note})]
        case DefineMacro() | RemoveMacro():
            return _saved(event.name, before.macros, DefineMacro, RemoveMacro)
        case SaveFilter() | RemoveFilter():
            return _saved(event.name, before.filters, SaveFilter, RemoveFilter)


def _attached(
    event: Mark | Unmark | Tag | Untag, names: Names, kind: type[AnyEvent], had: bool
) -> list[Change]:
    """Of the traces that it changed only."""
    spot = spot_of(event)
    traces = tuple(trace for trace in event.traces if names.has(event.name, trace, spot) == had)
    said = {"name": event.name, "traces": traces, "token": spot.token, "layer": spot.layer}
    return [Change(kind, said)] if traces else []


def _saved(name: str, before: dict[str, Any], define: type[AnyEvent], remove: type[AnyEvent]) -> list[Change]:
    old = before.get(name)
    if old is None:
        return [Change(remove, {"name": name})]
    return [Change(define, {"name": name, "text": old.text, "description": old.description})]
