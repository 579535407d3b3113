"""What holds now: the fold of a case's events in the order of their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tensorshark.traces.case.events import (
    TRACE,
    AnyEvent,
    DefineMacro,
    Mark,
    OnTraces,
    RemoveFilter,
    RemoveMacro,
    Restore,
    SaveFilter,
    Spot,
    Strike,
    Tag,
    Unmark,
    Untag,
    Write,
)


class Attached(NamedTuple):
    """A mark or a tag."""

    name: str
    spot: Spot
    by: str
    at: str


class Note(NamedTuple):
    """A note, of one trace."""

    id: str
    """Takes it away: `Case.strike`."""
    text: str
    spot: Spot
    by: str
    at: str


class Saved(NamedTuple):
    """A macro or a saved filter."""

    name: str
    text: str
    description: str
    by: str
    at: str


class Names:
    """Names attached to traces and to places in them: all marks, or all tags.

    Traces and places are apart: there may be a million of the one, and few of the other.
    """

    def __init__(self) -> None:
        self._traces: dict[str, dict[str, OnTraces]] = {}
        """Name -> trace -> the event that attached it."""
        self._spots: dict[str, dict[str, dict[Spot, OnTraces]]] = {}
        """Name -> trace -> place in it -> the event."""

    def put(self, name: str, event: OnTraces) -> None:
        """Attach; the first to do so stays its author."""
        spot = spot_of(event)
        if spot == TRACE:
            traces = self._traces.setdefault(name, {})
            for trace in event.traces:
                traces.setdefault(trace, event)
            return
        spots = self._spots.setdefault(name, {})
        for trace in event.traces:
            spots.setdefault(trace, {}).setdefault(spot, event)

    def take(self, name: str, event: OnTraces) -> None:
        """Take away, from right there only."""
        spot = spot_of(event)
        traces, spots = self._traces.get(name, {}), self._spots.get(name, {})
        for trace in event.traces:
            if spot == TRACE:
                traces.pop(trace, None)
            elif trace in spots:
                spots[trace].pop(spot, None)
                if not spots[trace]:
                    del spots[trace]
        for all_ in (self._traces, self._spots):
            if name in all_ and not all_[name]:
                del all_[name]

    def has(self, name: str, trace: str, spot: Spot = TRACE) -> bool:
        """Whether it is attached right there."""
        if spot == TRACE:
            return trace in self._traces.get(name, ())
        return spot in self._spots.get(name, {}).get(trace, ())

    def names(self) -> list[str]:
        """Sorted."""
        return sorted({*self._traces, *self._spots})

    def traces(self, name: str) -> set[str]:
        """Traces with it, on themselves or anywhere in them."""
        return {*self._traces.get(name, ()), *self._spots.get(name, ())}

    def of(self, trace: str) -> Iterator[Attached]:
        """What one trace has."""
        for name in self.names():
            whole = self._traces.get(name, {}).get(trace)
            if whole is not None:
                yield Attached(name, TRACE, whole.by, whole.at)
            for spot, event in self._spots.get(name, {}).get(trace, {}).items():
                yield Attached(name, spot, event.by, event.at)


class State:
    """Marks, tags, notes, macros and saved filters; not for several threads."""

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self.marks = Names()
        self.tags = Names()
        self.notes: dict[str, dict[str, Write]] = {}
        """Trace -> id of the note -> the event that wrote it."""
        self.macros: dict[str, Saved] = {}
        self.filters: dict[str, Saved] = {}
        self._written: dict[str, Write] = {}
        """Every note that ever was, by id."""
        self._struck: set[str] = set()
        for event in events:
            self.apply(event)

    def apply(self, event: AnyEvent) -> None:
        """Take in the next event."""
        match event:
            case Mark():
                self.marks.put(event.name, event)
            case Unmark():
                self.marks.take(event.name, event)
            case Tag():
                self.tags.put(event.name, event)
            case Untag():
                self.tags.take(event.name, event)
            case Write():
                self._written[event.id] = event
                self._show(event.id)
            case Strike():
                self._hide(event.note)
            case Restore() if event.note in self._struck:
                self._struck.discard(event.note)
                self._show(event.note)
            case DefineMacro():
                self.macros[event.name] = _saved(event)
            case RemoveMacro():
                self.macros.pop(event.name, None)
            case SaveFilter():
                self.filters[event.name] = _saved(event)
            case RemoveFilter():
                self.filters.pop(event.name, None)

    def note(self, id: str) -> Write | None:
        """The event of a note that is there."""
        return None if id in self._struck else self._written.get(id)

    def notes_of(self, trace: str) -> list[Note]:
        """In the order in which they were written."""
        found = sorted(self.notes.get(trace, {}).values(), key=lambda event: event.place)
        return [Note(event.id, event.text, spot_of(event), event.by, event.at) for event in found]

    def _show(self, id: str) -> None:
        for trace in self._written[id].traces:
            self.notes.setdefault(trace, {})[id] = self._written[id]

    def _hide(self, id: str) -> None:
        event = self.note(id)
        if event is None:
            return
        self._struck.add(id)
        for trace in event.traces:
            left = self.notes.get(trace, {})
            left.pop(id, None)
            if not left:
                self.notes.pop(trace, None)


def spot_of(event: OnTraces) -> Spot:
    """Where in its traces the event belongs; a layer alone says nothing."""
    return TRACE if event.token is None else Spot(event.token, event.layer)


def _saved(event: DefineMacro | SaveFilter) -> Saved:
    return Saved(event.name, event.text, event.description, event.by, event.at)
