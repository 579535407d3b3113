"""Requests that take long: each kind in a lane of its own, so that none waits for another kind.

A lane takes its requests in turn. One that is cancelled while it waits ends at once, one that runs is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from tensorshark.forensics.rpc.protocol import BUSY, CANCELLED, Fault, Id
from tensorshark.forensics.rpc.streams import Gone

Lane = Literal["now", "scan", "lens", "run"]
"""Where a method is done: by the reading thread, in order; by a thread of ours; by a worker process."""

WIDTH = {"scan": 4, "lens": 1, "run": 1}
"""Requests of each kind that are done at a time. The worker processes do one each; see `Engine`."""
MAX_WAITING = 256
"""Requests that may wait, in all lanes together."""
MAX_WAITING_BYTES = 16 << 20
"""Bytes of the lines that they came in."""
REPORT_S = 0.1
"""Seconds between two notifications about one request."""

Offer = Callable[[str, object], bool]
"""Sends a notification, (method, params), unless the client does not keep up."""


class Task:
    """One request: whether somebody still wants it, and how far it is."""

    def __init__(self, id: Id, method: str, size: int = 0, offer: Offer | None = None) -> None:
        self.id = id
        self.method = method
        self.size = size
        """Bytes of the line that it came in."""
        self._since = time.monotonic()
        self.done = 0
        self.total = 0
        """0 while it is not known."""
        self._offer = offer
        self._lock = threading.Lock()
        self._cancelled = False
        self._listeners: list[Callable[[], None]] = []
        self._told = self._since

    @property
    def age(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self._since

    def cancelled(self) -> bool:
        """True once nobody wants the answer; cheap, for loops."""
        return self._cancelled

    def check(self) -> None:
        """Raises Fault CANCELLED once nobody wants the answer."""
        if self._cancelled:
            raise Fault(CANCELLED, "cancelled")

    def cancel(self) -> None:
        """Idempotent."""
        with self._lock:
            self._cancelled = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def when_cancelled(self, listener: Callable[[], None]) -> None:
        """Call it on whichever thread cancels; at once when that has happened."""
        with self._lock:
            if not self._cancelled:
                self._listeners.append(listener)
                return
        listener()

    def progress(self, done: int, total: int) -> None:
        """Note how far it is, and tell the client, not too often."""
        self.done, self.total = done, total
        if self.due():
            self.tell("progress", {"request": self.id, "done": done, "total": total})

    def due(self) -> bool:
        """True when it is time for another notification."""
        return self._offer is not None and time.monotonic() - self._told >= REPORT_S

    def tell(self, method: str, params: object) -> bool:
        """A notification about this request; False when the client does not keep up with what is sent."""
        self._told = time.monotonic()
        return self._offer is not None and self._offer(method, params)


Work = Callable[[Task], None]
"""Does a request and answers it; raises nothing but Gone."""


class Lanes:
    """All requests that run or wait. Any thread may call any method."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[tuple[Task, Work]]] = {lane: deque() for lane in WIDTH}
        self._tasks: dict[Id, Task] = {}
        self._threads = dict.fromkeys(WIDTH, 0)
        self._idle = dict.fromkeys(WIDTH, 0)
        self._closed = False

    def submit(self, lane: str, task: Task, work: Work) -> None:
        """Queue a request whose id is not `taken`. Raises Fault where too many wait."""
        with self._changed:
            assert task.id not in self._tasks
            waiting = [other for queue in self._waiting.values() for other, _ in queue]
            if len(waiting) >= MAX_WAITING or sum(w.size for w in waiting) + task.size > MAX_WAITING_BYTES:
                raise Fault(
                    BUSY, f"{len(waiting)} requests are waiting; send this again when one is answered"
                )
            self._tasks[task.id] = task
            self._waiting[lane].append((task, work))
            if self._idle[lane] < len(self._waiting[lane]) and self._threads[lane] < WIDTH[lane]:
                self._threads[lane] += 1
                name = f"{lane} {self._threads[lane]}"
                threading.Thread(target=self._work, args=(lane,), name=name, daemon=True).start()
            self._changed.notify_all()

    def taken(self, id: Id) -> bool:
        """True while a request of that id runs or waits."""
        with self._changed:
            return id in self._tasks

    def finish(self, task: Task) -> None:
        """It is about to be answered: from now on its id is free."""
        with self._changed:
            if self._tasks.get(task.id) is task:
                del self._tasks[task.id]

    def cancel(self, id: Id) -> bool:
        """Cancel a request; False when none of that id runs or waits."""
        with self._changed:
            task = self._tasks.get(id)
            if task is None:
                return False
            waiting = self._remove(task)
        task.cancel()
        if waiting is not None:
            waiting(task)
        return True

    def tasks(self) -> list[Task]:
        """All that run or wait, in the order in which they came."""
        with self._changed:
            return list(self._tasks.values())

    def wait(self, timeout_s: float) -> bool:
        """True when everything is answered, at the latest after so long."""
        with self._changed:
            return self._changed.wait_for(self._done, timeout_s)

    def close(self, within_s: float) -> None:
        """Cancel everything, and wait so long for it to be answered."""
        deadline = time.monotonic() + within_s
        with self._changed:
            self._closed = True
        with suppress(Gone):
            for task in self.tasks():
                self.cancel(task.id)
        with self._changed:
            self._changed.notify_all()
            while any(self._threads.values()) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _done(self) -> bool:
        return not any(self._waiting.values()) and self._idle == self._threads

    def _remove(self, task: Task) -> Work | None:
        """Take it out of the queue that it waits in, if it does."""
        for queue in self._waiting.values():
            for entry in queue:
                if entry[0] is task:
                    queue.remove(entry)
                    return entry[1]
        return None

    def _work(self, lane: str) -> None:
        """A thread of a lane."""
        try:
            with suppress(Gone):
                while (entry := self._next(lane)) is not None:
                    task, work = entry
                    work(task)
        finally:
            with self._changed:
                self._threads[lane] -= 1
                self._changed.notify_all()

    def _next(self, lane: str) -> tuple[Task, Work] | None:
        with self._changed:
            self._idle[lane] += 1
            self._changed.notify_all()
            while not self._waiting[lane] and not self._closed:
                self._changed.wait()
            self._idle[lane] -= 1
            return self._waiting[lane].popleft() if self._waiting[lane] else None
