"""One thread that does the newest thing it was asked for, and only that."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Newest:
    """A slot for one job. Asking again replaces a job that waits; one that runs is let finish.

    Jobs must not raise and must not touch widgets; they post messages.
    """

    def __init__(self, name: str, delay: float = 0.0) -> None:
        self._name = name
        self._delay = delay
        """Seconds a job waits for a newer one, so that a held key does not load every row it passes."""
        self._wake = threading.Condition()
        self._job: Callable[[], None] | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, job: Callable[[], None]) -> None:
        """Do this next; never blocks."""
        with self._wake:
            if self._closed:
                return
            self._job = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Let the thread end; a job that waits is dropped."""
        with self._wake:
            self._closed, self._job = True, None
            self._wake.notify()

    def _run(self) -> None:
        while (job := self._take()) is not None:
            job()

    def _take(self) -> Callable[[], None] | None:
        """Wait for a job, then for `delay` seconds without a newer one; None when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._job is not None or self._closed)
            while self._delay and not self._closed:
                waiting = self._job
                self._wake.wait(self._delay)
                if self._job is waiting:
                    break
            job, self._job = self._job, None
            return job
