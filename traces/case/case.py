"""A case as others use it: ask what holds, and say something that holds from now on.

    case = Case.open(capture, write=True)
    case.mark([trace.id], "suspect")
    case.note([trace.id], "copies the system prompt", token=7)
    case.marks(trace.id)                      # [Attached(name='suspect', spot=Spot(...), by='ada', at=...)]
    case.undo()                               # takes the note back

Nothing is ever changed or removed: taking back is an event too. Any thread may call any method, and several
processes may write at once, each to a file of its own; `refresh` brings what the others said.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tensorshark.traces.case import events as kinds
from tensorshark.traces.case import history
from tensorshark.traces.case.events import DEFAULT_MARK, TRACE, AnyEvent, Spot, within, word
from tensorshark.traces.case.history import Change
from tensorshark.traces.case.log import MAX_BYTES, Folder, Log, later, stamp
from tensorshark.traces.case.place import folders
from tensorshark.traces.case.state import Attached, Names, Note, Saved, State
from tensorshark.traces.chain import digest
from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.journal import user
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture


class Case:
    """What people said about one capture. Opening reads nothing; the first question does."""

    def __init__(self, capture: Capture, write: bool = False, sync: bool = True) -> None:
        self.by = user()
        """Author of what is said through this object."""
        self._writable = write
        self._places = [Folder(path) for path in folders(capture.path, capture.uuid)]
        self._log = Log(self._places, capture.uuid, sync)
        self._state: State | None = None
        self._events: list[AnyEvent] = []
        self._version = 0
        self._lock = threading.RLock()
        self._together = 0
        self._step = ("", 0)
        """Writer, and seq of the first event, of the action that is being said."""

    @classmethod
    def open(cls, capture: Capture, write: bool = False, sync: bool = True) -> Case:
        """The case of a capture, whether or not anything was said yet. Raises nothing."""
        return cls(capture, write, sync)

    def refresh(self) -> bool:
        """Take in what was said since, by anybody; True when there was anything. A stat per writer."""
        with self._lock:
            added = [event for place in self._places for event in place.refresh(self._room)]
            first = self._state is None
            if added:
                self._take_in(added)
            elif first:
                self._state = State()
            return bool(added)

    @property
    def version(self) -> int:
        """Grows whenever something is said; refreshes."""
        self.refresh()
        return self._version

    @property
    def seen(self) -> int:
        """`version` as of the last refresh: what holds below is the same while this is."""
        return self._version

    def close(self) -> None:
        """Let go of the file that was written; idempotent."""
        with self._lock:
            self._log.close()

    def __enter__(self) -> Case:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What holds, as of the last refresh

    def marks(self, trace: str) -> list[Attached]:
        """Of one trace, on itself and in it."""
        with self._lock:
            return list(self._now.marks.of(trace))

    def tags(self, trace: str) -> list[Attached]:
        """Of one trace, on itself and in it."""
        with self._lock:
            return list(self._now.tags.of(trace))

    def notes(self, trace: str) -> list[Note]:
        """Of one trace, on itself and in it, in the order in which they were written."""
        with self._lock:
            return self._now.notes_of(trace)

    def mark_names(self) -> list[str]:
        """Sorted."""
        with self._lock:
            return self._now.marks.names()

    def tag_names(self) -> list[str]:
        """Sorted."""
        with self._lock:
            return self._now.tags.names()

    def marked(self, name: str = "") -> set[str]:
        """Ids of the traces with that mark, or with any, on themselves or in them."""
        with self._lock:
            return _traces(self._now.marks, name)

    def tagged(self, name: str = "") -> set[str]:
        """Ids of the traces with that tag, or with any, on themselves or in them."""
        with self._lock:
            return _traces(self._now.tags, name)

    def noted(self) -> set[str]:
        """Ids of the traces with a note, on themselves or in them."""
        with self._lock:
            return set(self._now.notes)

    def texts(self, kind: Literal["tag", "note"]) -> dict[str, set[str]]:
        """Every tag, or the text of every note -> ids of the traces with it, on themselves or in them."""
        with self._lock:
            if kind == "tag":
                return {name: self._now.tags.traces(name) for name in self._now.tags.names()}
            found: dict[str, set[str]] = {}
            for trace, notes in self._now.notes.items():
                for event in notes.values():
                    found.setdefault(event.text, set()).add(trace)
            return found

    @property
    def macros(self) -> dict[str, Saved]:
        """By name."""
        with self._lock:
            return dict(sorted(self._now.macros.items()))

    @property
    def filters(self) -> dict[str, Saved]:
        """Saved filters by name."""
        with self._lock:
            return dict(sorted(self._now.filters.items()))

    def events(self) -> list[AnyEvent]:
        """All that was ever said, in order."""
        with self._lock:
            _ = self._now
            return list(self._events)

    def problems(self) -> list[str]:
        """What of the case is damaged or left out, in words."""
        with self._lock:
            _ = self._now
            return [problem for place in self._places for problem in place.problems()]

    # Saying something: each returns how many traces, or things, it changed, and writes nothing for 0

    def mark(
        self,
        traces: Iterable[str],
        name: str = DEFAULT_MARK,
        *,
        token: int | None = None,
        layer: int | None = None,
    ) -> int:
        """Mark traces, or a place in each. Raises UsageError for a name that a filter cannot write."""
        return self._attach(kinds.Mark, traces, word(name, "mark"), token, layer)

    def unmark(
        self,
        traces: Iterable[str],
        name: str = DEFAULT_MARK,
        *,
        token: int | None = None,
        layer: int | None = None,
    ) -> int:
        """Take that mark away, from right there."""
        return self._attach(kinds.Unmark, traces, word(name, "mark"), token, layer)

    def tag(
        self, traces: Iterable[str], name: str, *, token: int | None = None, layer: int | None = None
    ) -> int:
        """Tag traces, or a place in each."""
        return self._attach(kinds.Tag, traces, within(name, "the tag", kinds.MAX_TAG), token, layer)

    def untag(
        self, traces: Iterable[str], name: str, *, token: int | None = None, layer: int | None = None
    ) -> int:
        """Take that tag away, from right there."""
        return self._attach(kinds.Untag, traces, within(name, "the tag", kinds.MAX_TAG), token, layer)

    def note(
        self, traces: Iterable[str], text: str, *, token: int | None = None, layer: int | None = None
    ) -> int:
        """Write one note about traces, or a place in each."""
        said = {"text": within(text, "the note", kinds.MAX_TEXT)}
        found = list(dict.fromkeys(traces))
        with self._writing():
            self._say(_pages(kinds.Write, found, said, _spot(token, layer)))
        return len(found)

    def strike(self, note: str) -> int:
        """Take a note away, by its id, from all its traces. Raises NotFoundError."""
        with self._writing():
            if self._now.note(note) is None:
                raise NotFoundError(f"the case has no note {safe_text(note, 80)!r}")
            return self._say([Change(kinds.Strike, {"note": note})])

    def define_macro(self, name: str, text: str, description: str = "") -> int:
        """Give a macro this text, in place of any that it had."""
        return self._save(kinds.DefineMacro, word(name, "macro"), text, description)

    def remove_macro(self, name: str) -> int:
        """Raises NotFoundError."""
        return self._remove(kinds.RemoveMacro, name, "macro")

    def save_filter(self, name: str, text: str, description: str = "") -> int:
        """Keep a filter under a name, in place of any that it had."""
        return self._save(kinds.SaveFilter, within(name, "the name", kinds.MAX_NAME), text, description)

    def remove_filter(self, name: str) -> int:
        """Raises NotFoundError."""
        return self._remove(kinds.RemoveFilter, name, "saved filter")

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is said within is one action: undone at once."""
        with self._lock:
            self._together += 1
            try:
                yield
            finally:
                self._together -= 1
                if not self._together:
                    self._step = ("", 0)

    def undo(self) -> list[AnyEvent]:
        """Take back the last action of this author; returns what was said for it, or nothing."""
        return self._back(undone=False)

    def redo(self) -> list[AnyEvent]:
        """Take back the last undo, if nothing was said since."""
        return self._back(undone=True)

    # Inside

    @property
    def _room(self) -> int:
        """Bytes that may still be read."""
        return MAX_BYTES - sum(place.size for place in self._places)

    @property
    def _now(self) -> State:
        if self._state is None:
            self.refresh()
        assert self._state is not None, "refresh made it"
        return self._state

    def _take_in(self, added: list[AnyEvent]) -> None:
        """New events, in order; what is older than what was read already means folding anew."""
        added.sort(key=lambda event: event.place)
        self._version += 1
        if self._state is not None and (not self._events or added[0].place > self._events[-1].place):
            self._events += added
            for event in added:
                self._state.apply(event)
            return
        self._events = sorted([*self._events, *added], key=lambda event: event.place)
        self._state = State(self._events)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The lock, with everything read that others said. Raises UsageError where nothing may be written."""
        if not self._writable:
            raise UsageError("this case was opened for reading only")
        with self._lock:
            self.refresh()
            yield

    def _attach(
        self,
        kind: type[kinds.Mark | kinds.Unmark | kinds.Tag | kinds.Untag],
        traces: Iterable[str],
        name: str,
        token: int | None,
        layer: int | None,
    ) -> int:
        spot = _spot(token, layer)
        puts = kind in (kinds.Mark, kinds.Tag)
        with self._writing():
            names = self._now.marks if kind in (kinds.Mark, kinds.Unmark) else self._now.tags
            changed = [trace for trace in dict.fromkeys(traces) if names.has(name, trace, spot) != puts]
            self._say(_pages(kind, changed, {"name": name}, spot))
        return len(changed)

    def _save(
        self, kind: type[kinds.DefineMacro | kinds.SaveFilter], name: str, text: str, description: str
    ) -> int:
        within(text, "the text", kinds.MAX_FILTER)
        if description:
            within(description, "the description", kinds.MAX_FILTER)
        with self._writing():
            saved = self._now.macros if kind is kinds.DefineMacro else self._now.filters
            old = saved.get(name)
            if old is not None and (old.text, old.description) == (text, description):
                return 0
            return self._say([Change(kind, {"name": name, "text": text, "description": description})])

    def _remove(self, kind: type[kinds.RemoveMacro | kinds.RemoveFilter], name: str, what: str) -> int:
        with self._writing():
            saved = self._now.macros if kind is kinds.RemoveMacro else self._now.filters
            if name not in saved:
                have = ", ".join(safe_text(known, 40) for known in sorted(saved)) or "none"
                raise NotFoundError(f"the case has no {what} {safe_text(name, 40)!r}; it has {have}")
            return self._say([Change(kind, {"name": name})])

    def _back(self, undone: bool) -> list[AnyEvent]:
        with self._writing():
            for action in reversed(history.actions(self._events, self.by, undone)):
                if changes := history.inverse(self._events, action):
                    before = len(self._events)
                    self._say(changes, undoes=action)
                    return self._events[before:]
            return []

    def _say(self, changes: Sequence[Change], undoes: str = "") -> int:
        """Write one action's events, all at once; returns how many."""
        if not changes:
            return 0
        self._log.open()
        times = later(self._events[-1].at if self._events else "")
        prev, seq, lines = self._log.prev, self._log.seq, list[bytes]()
        begun, step = self._step
        if begun != self._log.writer:
            step = seq + 1
            self._step = (self._log.writer, step) if self._together else ("", 0)
        for change in changes:
            seq += 1
            event = change.kind(
                at=stamp(next(times)),
                by=self.by,
                writer=self._log.writer,
                seq=seq,
                prev=prev,
                step=step,
                undoes=undoes,
                **change.said,
            )
            lines.append(msgspec.json.encode(event, order="sorted"))
            prev = digest(lines[-1])
        if self._room < sum(map(len, lines)) + len(lines):
            raise UsageError(f"the case is full: of more than {MAX_BYTES >> 20} MiB nothing would be read")
        self._log.append(lines)
        self.refresh()
        return len(changes)


def _traces(names: Names, name: str) -> set[str]:
    if name:
        return names.traces(name)
    return set().union(*(names.traces(each) for each in names.names()))


def _spot(token: int | None, layer: int | None) -> Spot:
    """Raises UsageError for a layer without a token, or what cannot be one."""
    if layer is not None and token is None:
        raise UsageError("a layer needs a token: marks, tags and notes are on a trace, a token or a cell")
    if min(token or 0, layer or 0) < 0 or max(token or 0, layer or 0) >= 1 << 31:
        raise UsageError("tokens and layers of a case are counted from 0")
    return TRACE if token is None else Spot(token, layer)


def _pages(kind: type[AnyEvent], traces: Sequence[str], said: dict[str, Any], spot: Spot) -> list[Change]:
    """As many events as that many traces take."""
    place = {"token": spot.token, "layer": spot.layer}
    return [
        Change(kind, {**said, **place, "traces": tuple(traces[start : start + kinds.MAX_TRACES])})
        for start in range(0, len(traces), kinds.MAX_TRACES)
    ]
