"""The worker process: takes jobs from standard input, one at a time, and says what comes of them.

Started by `forensics.worker` as `python -P -m tensorshark.forensics.child PARENT`. No torch, no screen.
Standard output belongs to the messages alone; what a plugin prints goes to standard error. The process ends
when its input does or its parent dies, whatever a job is doing then.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tensorshark.forensics.jobs import (
    AnyMessage,
    Done,
    JobCancelled,
    JobFailed,
    LensGrid,
    LensJob,
    Limits,
    MeasureJob,
    Progress,
    Reply,
    Request,
    RunJob,
    decode_request,
    encode,
)
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.files import write_all
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.forensics.readouts import Readouts
    from tensorshark.traces.store import Capture

_REPORT_S = 0.1
"""Seconds between two messages of progress."""
_KEPT = 4
"""Captures kept open."""
_PR_SET_PDEATHSIG = 1

Say = Callable[[AnyMessage], None]


class Cancelled(BaseException):
    """Unwinds a job that nobody wants any more; no plugin's `except Exception` stops it."""


class Jobs:
    """Does jobs; keeps what the next one may need again."""

    def __init__(self, say: Say, cancelled: Callable[[], bool]) -> None:
        self._say = say
        self._cancelled = cancelled
        self._captures: OrderedDict[str, Capture] = OrderedDict()
        self._readouts: Readouts | None = None
        self._reported = 0.0

    def do(self, job: LensJob | RunJob | MeasureJob) -> None:
        """Say everything that comes of one job, the end included."""
        try:
            with _limited(job.limits):
                if isinstance(job, LensJob):
                    self._say(self._lens(job))
                elif isinstance(job, MeasureJob):
                    self._measure(job)
                else:
                    self._run(job)
        except Cancelled:
            self._say(JobCancelled())
        except MemoryError:
            self._say(JobFailed(reason="it needs more memory than it may have"))
        except (Exception, SystemExit) as error:
            if isinstance(error, TensorsharkError):
                failed = JobFailed(reason=str(error), exit_code=error.exit_code, error=type(error).__name__)
            else:
                failed = JobFailed(reason=safe_text(f"{type(error).__name__}: {error}", 400))
            self._say(failed)
        else:
            self._say(Done())

    def _lens(self, job: LensJob) -> LensGrid:
        from tensorshark.forensics.readouts import Readouts

        if self._readouts is None:
            self._readouts = Readouts()
        return self._readouts.grid(self._capture(job.capture), job, self._report)

    def _run(self, job: RunJob) -> None:
        from tensorshark.forensics import host
        from tensorshark.forensics.filter import select
        from tensorshark.forensics.view import View

        capture = self._capture(job.capture)
        ids = list(select(capture, job.filter)) if job.ids is None else job.ids
        for result in host.run(job.analyzer, View(capture, ids, self._report), job.options):
            self._stop_if_cancelled()
            self._say(result)  # type: ignore[arg-type]  # the closed set; host checks it

    def _measure(self, job: MeasureJob) -> None:
        from tensorshark.forensics.measured.apart import measured

        for message in measured(job, self._capture(job.capture), self._stop_if_cancelled):
            self._say(message)

    def _capture(self, path: str) -> Capture:
        from tensorshark.traces.store import Capture

        capture = self._captures.get(path)
        if capture is None:
            capture = self._captures[path] = Capture.open(path)
            if len(self._captures) > _KEPT:
                self._captures.popitem(last=False)
        self._captures.move_to_end(path)
        return capture

    def _report(self, done: int, total: int) -> None:
        """Pass progress on, not too often; the place where a job is stopped."""
        self._stop_if_cancelled()
        now = time.monotonic()
        if now - self._reported >= _REPORT_S:
            self._reported = now
            self._say(Progress(done=done, total=total))

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled


@contextmanager
def _limited(limits: Limits) -> Iterator[None]:
    """Refuse this process more than so many further bytes of address space."""
    if limits.bytes is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib is no shorter
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + limits.bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class _Inbox:
    """Lines from the parent, read by a thread of their own so that a busy job can be cancelled."""

    def __init__(self, source: int) -> None:
        self.jobs: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.cancelled: set[int] = set()
        self._source = os.fdopen(source, "rb")
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def _read(self) -> None:
        for line in self._source:
            request = decode_request(line)
            if request.job is None:
                self.cancelled.add(request.number)
            else:
                self.jobs.put(request)
        os._exit(0)  # the parent is gone, or done with us


def _die_with(parent: int) -> None:
    """Also when a job holds the interpreter so that the inbox cannot see the end (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def main(parent: int) -> None:
    """Do jobs until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    source, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    inbox = _Inbox(source)
    number = 0

    def say(message: AnyMessage) -> None:
        write_all(replies, encode(Reply(number=number, message=message)))

    jobs = Jobs(say, lambda: number in inbox.cancelled)
    with suppress(BrokenPipeError):
        while True:
            request = inbox.jobs.get()
            number = request.number
            if request.job is not None:
                jobs.do(request.job)
            inbox.cancelled.discard(number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
