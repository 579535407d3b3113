"""Lines in and lines out over two file descriptors, with a client that may stop reading or go away.

Nothing is queued: who has something to say waits until the client has taken what was said before, and so
the memory that a client can make us hold is that of the requests it may have running.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

from tensorshark.forensics.rpc.protocol import MAX_REQUEST

_READ = 1 << 16
_PATIENCE_MS = 200
"""Between two looks at whether we are to stop, while the client takes nothing."""


STALL_S = 30.0
"""How long who has closed our input may leave our output unread before it counts as gone."""
_HUNG = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Gone(Exception):  # noqa: N818 - not an error of anybody: the session is over
    """Nobody will read what would be written."""


class Lines:
    """Cuts a stream into lines; one that is too long is forgotten as it comes."""

    def __init__(self, most: int = MAX_REQUEST) -> None:
        self._most = most
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Lines that are whole by now, without their ends; None for one of more than `most` bytes."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._add(part)
            yield self._take()
        self._add(rest)

    def end(self) -> Iterator[bytes | None]:
        """What came after the last line end."""
        if self._rest or self._skipping:
            yield self._take()

    def _add(self, part: bytes) -> None:
        if self._skipping or len(self._rest) + len(part) > self._most:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += part

    def _take(self) -> bytes | None:
        line = None if self._skipping else bytes(self._rest)
        self._rest.clear()
        self._skipping = False
        return line


class Inlet:
    """Reads lines. Notices also when nobody reads what we write, and when it is told to stop."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._lines = Lines()
        self._woken, self._wake = os.pipe()
        self._poll = select.poll()
        self._poll.register(source, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(sink, 0)  # errors are always reported: the other end was closed
        self._sink = sink

    def wake(self) -> None:
        """Make `read` return; safe in a signal handler and from any thread."""
        os.write(self._wake, b"\0")

    def read(self) -> Iterator[bytes | None]:
        """Lines until the input ends, `wake` is called, or nobody reads our output (Gone)."""
        while True:
            ready = dict(self._poll.poll())
            if self._woken in ready:
                return
            if ready.get(self._sink, 0) & (select.POLLERR | select.POLLHUP):
                raise Gone
            if not ready.get(self._source):
                continue
            data = os.read(self._source, _READ)
            if not data:
                yield from self._lines.end()
                return
            yield from self._lines.feed(data)

    def check(self) -> None:
        """Raises Gone when nobody reads our output any more."""
        if dict(self._poll.poll(0)).get(self._sink, 0) & (select.POLLERR | select.POLLHUP):
            raise Gone

    def close(self) -> None:
        """Of our own descriptors; idempotent it is not."""
        os.close(self._woken)
        os.close(self._wake)


class Outlet:
    """Writes lines, one at a time; any thread may.

    A client that does not read is waited for: for ever while it may still write to `source`.
    """

    def __init__(self, sink: int, source: int) -> None:
        self._sink = sink
        self._hung = select.poll()
        self._hung.register(source, getattr(select, "POLLRDHUP", 0))
        self._turn = threading.Lock()
        self._writable = select.poll()
        self._writable.register(sink, select.POLLOUT)
        self._deadline = float("inf")
        self._gone = False

    def send(self, line: bytes) -> None:
        """Write a line, however long that takes. Raises Gone once nobody will read it."""
        with self._turn:
            self._write(line)

    def offer(self, line: bytes) -> bool:
        """Write a line if the client keeps up; False when it does not, and the line may be forgotten."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            if self._gone or not self._writable.poll(0):
                return False
            self._write(line)
            return True
        finally:
            self._turn.release()

    def stop(self, within_s: float) -> None:
        """From now on a client has so long to take what is still said."""
        self._deadline = min(self._deadline, time.monotonic() + within_s)

    def _write(self, line: bytes) -> None:
        """In pieces that a pipe with room takes without blocking, so that we can always stop."""
        data = memoryview(line + b"\n")
        since = time.monotonic()
        try:
            while data:
                now = time.monotonic()
                if self._gone or now > self._deadline:
                    raise Gone
                if self._writable.poll(_PATIENCE_MS):
                    data = data[os.write(self._sink, data[: select.PIPE_BUF]) :]
                    since = now
                elif now - since > STALL_S and self._left():
                    raise Gone
        except (OSError, Gone):
            self._gone = True  # half a line may be out: nothing more can be said
            raise Gone from None

    def _left(self) -> bool:
        """True when nobody will write to us any more."""
        return any(event & _HUNG for _, event in self._hung.poll(0))
