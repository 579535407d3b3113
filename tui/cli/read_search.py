"""A filter applied on a thread of its own, so that what it finds is printed while it goes on looking."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING

from tensorshark.tui.cli import output

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers

TICK = 0.1
"""Seconds between two looks at whether there is more; Ctrl-C is noticed in between."""


class Search:
    """The traces that `read` prints, page by page."""

    def __init__(
        self,
        engine: Engine,
        text: str,
        sort: str,
        descending: bool,
        limit: int | None,
        selected: int = 0,
    ) -> None:
        self.engine = engine
        self.text = text
        self.limit = limit
        self.found = 0
        """Traces that match, as far as is known."""
        self.shown = 0
        """Traces that were handed out."""
        self.stopped = False
        """True when it ended at the limit, so that there may be more."""
        self._sort, self._descending, self._selected = sort, descending, selected
        self._over = threading.Event()
        self._told: queue.SimpleQueue[tuple[Numbers, int, int] | Exception] = queue.SimpleQueue()

    def pages(self, idle: Callable[[], None]) -> Generator[Numbers]:
        """At least one, which may be empty. `idle` is called before there is a pause.

        Raises what `Engine.select` does.
        """
        thread = threading.Thread(target=self._run, name="search", daemon=True)
        thread.start()
        try:
            with output.progress("scanning traces") as show:
                done, total = 0, 1
                while done < total:
                    numbers, done, total = self._next(idle, partial(show, done, total))
                    show.hide()
                    self.found = len(numbers)
                    new = numbers[self.shown : self.limit]
                    if len(new) or done == total:
                        self.shown += len(new)
                        yield new
                    if self.limit is not None and self.shown >= self.limit and done < total:
                        self.stopped = True
                        return
        finally:
            self._over.set()
            thread.join()

    def say(self) -> None:
        """Tell on stderr what was not printed."""
        if self.stopped:
            output.note(f"stopped at --limit {self.shown:,}; there may be more")
        elif more := self.found - self.shown:
            output.note(f"{self.shown:,} of {self.found:,} traces; {more:,} more without --limit")
        if self.text.strip() and not self.found:
            output.note(f"no trace of {len(self.engine.index):,} matches")

    def _next(self, idle: Callable[[], None], wait: Callable[[], None]) -> tuple[Numbers, int, int]:
        """What was found so far, how many traces were looked at, and of how many."""
        idle()  # also where more is there already: making lines of it may take longer than finding it
        told = self._waited(wait)
        if isinstance(told, Exception):
            raise told
        return told

    def _waited(self, wait: Callable[[], None]) -> tuple[Numbers, int, int] | Exception:
        while True:
            try:
                return self._told.get(timeout=TICK)
            except queue.Empty:
                wait()

    def _run(self) -> None:
        stream = not self._sort.strip() and not self._descending

        def tell(numbers: Numbers, done: int, total: int) -> None:
            self._told.put((numbers, done, total))

        try:
            on_found, over = tell if stream else None, self._over.is_set
            found = self.engine.select(
                self.text, self._sort, self._descending, over, on_found, self._selected
            )
            self._told.put((found, 1, 1))
        except Exception as error:  # raised where the lines are made
            self._told.put(error)
