"""Keeps the index up with a capture that may still be written, and says what came, to who asked."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tensorshark.forensics.engine import Engine
from tensorshark.forensics.rpc.lanes import Offer
from tensorshark.forensics.rpc.protocol import fault_of
from tensorshark.forensics.rpc.shapes import TracesNote
from tensorshark.traces.errors import NotFoundError
from tensorshark.traces.store import RECORD

SLICE_S = 0.25
"""Of catching up, between two looks at whether to stop."""
POLL_S = 0.5
"""Between two looks at a capture that is caught up with."""


class Follower:
    """A thread that looks at the capture until it is stopped. Any thread may call any method."""

    def __init__(self, engine: Engine, offer: Offer, narrate: Callable[[str], None]) -> None:
        self.ready = threading.Event()
        """Set once the index has every trace that was there at the beginning, or cannot."""
        self.telling = False
        """Whether the client wants to hear of new traces."""
        self._engine = engine
        self._offer = offer
        self._narrate = narrate
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._told = (0, "")
        """Traces and problem that the client knows of."""
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """And wait so long for it."""
        self._stopping.set()
        self._thread.join(within_s)

    def tell(self, on: bool) -> int:
        """Whether to say when traces come, from now on; returns how many there are now."""
        with self._lock:
            self.telling = on
            self._told = (len(self._engine.index), "")
            return self._told[0]

    def _follow(self) -> None:
        said = ""
        while not self._stopping.is_set():
            count, behind, problem = self._look()
            if not behind:
                self.ready.set()
            if problem and problem != said:
                self._narrate(problem)
            said = problem
            with self._lock:
                if self.telling and (count, problem) != self._told:
                    note = TracesNote(traces=count, new=count - self._told[0], problem=problem)
                    if self._offer("traces", note):  # or once more, when the client keeps up again
                        self._told = (count, problem)
            self._stopping.wait(0.01 if behind else POLL_S)

    def _look(self) -> tuple[int, bool, str]:
        """(traces, whether there are more on disk, what is wrong). Raises nothing."""
        try:
            if not (self._engine.capture.path / RECORD).exists():
                raise NotFoundError("the capture is no longer there")
            self._engine.refresh(SLICE_S)
            return len(self._engine.index), self._engine.follow(), ""
        except Exception as error:
            return self._told[0], False, fault_of(error).message
