"""A pseudo-terminal that times a program: key -> first byte, and the bytes it sends."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass

QUIET = 0.15
"""Seconds without output after which a program counts as finished with its answer."""


@dataclass(frozen=True)
class Answer:
    """What a program did after it was started or a key was pressed."""

    first_s: float
    """Seconds to the first byte; infinity when nothing came."""
    last_s: float
    """Seconds to the last byte before it went quiet."""
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


class Terminal:
    """A child process on a pseudo-terminal of a fixed size."""

    def __init__(
        self, command: Sequence[str], columns: int = 80, lines: int = 24, env: dict[str, str] | None = None
    ) -> None:
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "COLORTERM": ""})
            os.execvp(command[0], list(command))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def answer(
        self, timeout: float = 10.0, quiet: float = QUIET, since: float | None = None, until: bytes = b""
    ) -> Answer:
        """Read until nothing has come for `quiet` seconds (or `until` has been seen)."""
        start = time.perf_counter() if since is None else since
        first = last = float("inf")
        data = bytearray()
        while True:
            now = time.perf_counter()
            done = data and (until in data if until else True)
            wait = quiet if done else timeout - (now - start)
            if wait <= 0:
                break
            ready, _, _ = select.select([self.fd], [], [], wait)
            if not ready:
                break
            try:
                chunk = os.read(self.fd, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            last = time.perf_counter() - start
            first = min(first, last)
            data += chunk
        return Answer(first, last, bytes(data))

    def press(self, keys: str, timeout: float = 5.0) -> Answer:
        """Send keys and read the answer."""
        start = time.perf_counter()
        os.write(self.fd, keys.encode())
        return self.answer(timeout, since=start)

    def resident_mib(self) -> float:
        """Resident memory of the program, its workers not counted."""
        with open(f"/proc/{self.pid}/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def close(self) -> None:
        """End the program and reap it."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)
