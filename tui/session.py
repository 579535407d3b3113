"""The workbench's side of the engine: what may take time runs in a thread and ends in a message."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from tensorshark.traces.errors import NotFoundError, TensorsharkError
from tensorshark.traces.text import safe_text
from tensorshark.tui.background import Newest
from tensorshark.tui.messages import (
    CaptureGrew,
    CaptureOpened,
    Crashed,
    FilterChanged,
    FilterChecked,
    FilterFound,
    PaneReady,
    TraceLoaded,
)
from tensorshark.tui.panes.pane import Subject

if TYPE_CHECKING:
    import numpy as np

    from tensorshark.forensics.engine import Engine
    from tensorshark.traces.index import TraceRow

SLICE = 0.25
"""Seconds of indexing between two messages."""
POLL = 0.5
"""Seconds between looks at a capture that may still be written."""
SLICE = 0.2
"""Seconds of catching up with a capture between two messages."""
PAUSE = 0.02
"""Seconds between two slices, for whoever else needs the processor."""
LIVE = 5.0
"""Seconds after the last new trace for which a capture counts as live."""
SETTLE = 0.03
"""Seconds the cursor rests on a row before its trace is loaded."""

Post = Callable[[Message], bool]


class Session:
    """One open capture. `post` may be called from any thread."""

    def __init__(self, path: Path, post: Post) -> None:
        self.path = path
        self.engine: Engine | None = None
        """None until the capture was opened."""
        self.loading = 0
        """Ticket of the newest load asked for."""
        self.selecting = 0
        """Ticket of the newest selection asked for."""
        self._given_up = 0
        """Ticket of the newest selection that was given up."""
        self._post = post
        self._tickets = count(1)
        self._stop = threading.Event()
        self._loads = Newest("load", SETTLE)
        self._selects = Newest("select")
        self._checks = Newest("check")

    def open(self, module: str = "") -> None:
        """Open the capture and then watch it, in a thread. Answers with CaptureOpened, then CaptureGrew.

        `module` is a pane's; it is imported once the list has its rows, and PaneReady says so.
        """
        job = self._guarded(lambda: self._open(module), fatal=True)
        threading.Thread(target=job, name="follow", daemon=True).start()

    def close(self) -> None:
        """Stop the threads and the engine's worker."""
        self._stop.set()
        for slot in (self._loads, self._selects, self._checks):
            slot.close()
        if self.engine is not None:
            self.engine.close()

    def rows(self, numbers: list[int]) -> Sequence[TraceRow]:
        """Rows for a screenful of trace numbers; from the index, so it does not wait."""
        return self.engine.rows(numbers) if self.engine else ()

    def check(self, text: str, position: int, history: Sequence[str] = (), selected: int = 0) -> None:
        """What a filter means so far, where `$` is of trace `selected`. Answers with FilterChecked."""
        if (engine := self.engine) is None:
            return

        def job() -> None:
            items = engine.complete(text, position, history, selected) if text else []
            self._post(FilterChecked(text, engine.check(text, selected), items))

        self._checks.ask(self._guarded(job))

    def select(self, text: str, sort: str = "", descending: bool = False, selected: int = 0) -> None:
        """Apply a filter and an order, in the place of one that still runs; `selected` as in `check`.

        Answers with FilterFound as long as it takes, then with FilterChanged.
        """
        if (engine := self.engine) is None:
            return
        import numpy as np  # the engine has it; the first screen does without

        ticket = self.selecting = next(self._tickets)
        last = FilterFound(ticket, text, np.empty(0, np.int64), 0, 0)

        def stale() -> bool:
            return self._stop.is_set() or ticket != self.selecting or ticket == self._given_up

        def on_found(numbers: np.ndarray, done: int, total: int) -> None:
            nonlocal last
            last = FilterFound(ticket, text, numbers, done, total)
            self._post(last)

        def job() -> None:
            try:
                numbers = engine.select(text, sort, descending, stale, on_found, selected)
                self._post(FilterChanged(ticket, text, numbers))
            except Exception as error:
                if stale():  # the filter's Cancelled, or what a closing engine raises
                    if ticket == self._given_up:
                        self._post(FilterChanged(ticket, text, last.numbers, stopped=last))
                    return
                if not isinstance(error, TensorsharkError | OSError):
                    raise
                self._post(FilterChanged(ticket, text, None, reason(error)))

        self._selects.ask(self._guarded(job))

    def give_up(self) -> None:
        """Stop applying a filter; its FilterChanged has what was found until then."""
        self._given_up = self.selecting

    def load(self, trace: str, other: str = "") -> None:
        """Read a trace and the one it is compared with. Answers with TraceLoaded."""
        if (engine := self.engine) is None:
            return
        ticket = self.loading = next(self._tickets)

        def job() -> None:
            self._post(TraceLoaded(ticket, trace, subject(engine, trace, other)))

        self._loads.ask(self._guarded(job))

    def _guarded(self, job: Callable[[], None], fatal: bool = False) -> Callable[[], None]:
        """A job whose unforeseen failure becomes a message; `fatal` where nothing works without it."""

        def run() -> None:
            try:
                job()
            except Exception as error:
                if not self._stop.is_set():
                    self._post(Crashed(error, fatal))

        return run

    def _open(self, module: str) -> None:
        from tensorshark.forensics.engine import Engine

        try:
            self.engine = engine = Engine(self.path, wait=False)
        except (TensorsharkError, OSError) as error:
            self._post(CaptureOpened(reason(error)))
            return
        self._post(CaptureOpened())
        if module:
            importlib.import_module(module)
            self._post(PaneReady())
        engine.fields()  # what is installed is looked up now, so that the first key of a filter does not wait
        self._follow(engine)

    def _follow(self, engine: Engine) -> None:
        """Look for new traces until closed; says something only when there is something to say."""
        last, grown, gone = time.monotonic(), 0.0, ""
        live, catching = False, True
        while not self._stop.is_set():
            problem, new = "", 0
            try:
                if not (self.path / "capture.json").exists():
                    raise NotFoundError("the capture is no longer there")
                new = engine.refresh(SLICE)
                behind = engine.follow()
            except (TensorsharkError, OSError) as error:
                problem, behind = reason(error), False
            now = time.monotonic()
            # What an old capture's index has to catch up with is not live.
            grown = now if new and not catching else grown
            was = live, catching
            live, catching = bool(grown) and now - grown < LIVE, catching and behind
            if new or problem != gone or was != (live, catching):
                rate = new / max(POLL, now - last) if live else 0.0
                self._post(CaptureGrew(new, live, rate, catching, problem))
            gone = problem
            last = now if new else last
            self._stop.wait(0.0 if behind and catching else POLL)


def subject(engine: Engine, trace: str, other: str) -> Subject:
    """Everything the panes need of a trace, read and checked; what is damaged is said and not shown."""
    problem, heads = "", 0
    one = two = None
    try:
        one = engine.trace(trace)
        _ = one.stats
        heads = one.model.heads
    except (TensorsharkError, OSError) as error:
        problem = reason(error)
    if other:
        try:
            two = engine.trace(other)
            _ = two.stats
        except (TensorsharkError, OSError):
            two = None  # its own row says why
    return Subject(engine, one, two, problem, heads)


def reason(error: Exception) -> str:
    """An error in words that are safe to print."""
    if isinstance(error, OSError):
        return safe_text(f"{error.strerror or type(error).__name__}: {error.filename or 'the capture'}", 512)
    return safe_text(str(error), 512)
