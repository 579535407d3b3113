"""The worker: one child process that does slow or foreign work, and survives neither us nor a crash.

    worker = Worker()
    ticket = worker.submit(LensJob(...), on_message)     # returns at once
    ticket.cancel()

`on_message` is called on the worker's own thread, with every message of the job and last with a Done,
JobFailed or JobCancelled. A job that kills the process fails alone: the next one gets a new process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import msgspec

from tensorshark.forensics.jobs import (
    AnyMessage,
    Ending,
    Job,
    JobCancelled,
    JobFailed,
    LensJob,
    Request,
    decode_reply,
    encode,
)
from tensorshark.traces.text import safe_text

GRACE_S = 2.0
"""How long a cancelled job may go on before its process is killed."""
MAX_LINE = 256 << 20
"""Bytes of one message; a longer one is a fault of the job."""
_TAIL = 2000
"""Bytes of the child's standard error that are kept to explain a crash."""

OnMessage = Callable[[AnyMessage], None]


class Ticket:
    """One job that was submitted."""

    def __init__(self, number: int, job: Job, on_message: OnMessage, worker: Worker) -> None:
        self.number = number
        self.job = job
        self.ended = threading.Event()
        """Set after the last message was delivered."""
        self._on_message = on_message
        self._worker = worker

    def cancel(self) -> None:
        """Ask the job to stop; its last message is then JobCancelled, unless it ended first. Idempotent."""
        self._worker._cancel(self)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the last message; False when it has not come in time."""
        return self.ended.wait(timeout_s)

    def tell(self, message: AnyMessage) -> None:
        """Deliver a message; what the receiver raises is reported, and is not the worker's end."""
        try:
            self._on_message(message)
        except Exception:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        if isinstance(message, Ending):
            self.ended.set()


class Worker:
    """Starts nothing until the first job. Any thread may submit, cancel and close."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._dropped: deque[Ticket] = deque()
        """Cancelled before they began; the thread has yet to say so."""
        self._running: Ticket | None = None
        self._child: _Child | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._numbers = 0

    def submit(self, job: Job, on_message: OnMessage) -> Ticket:
        """Queue a job. A LensJob takes the place of one that still waits, which is then cancelled."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the worker is closed")
            self._numbers += 1
            ticket = Ticket(self._numbers, job, on_message, self)
            if isinstance(job, LensJob):
                for older in [other for other in self._waiting if isinstance(other.job, LensJob)]:
                    self._waiting.remove(older)
                    self._dropped.append(older)
            self._waiting.append(ticket)
            self._wake()
        return ticket

    def warm(self) -> None:
        """Start the process now, so that the first job does not wait for it."""
        with self._changed:
            if not self._closed:
                self._wake()

    def close(self) -> None:
        """Kill the process; jobs that have not ended never will. Idempotent."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._dropped.clear()
            if self._child is not None:
                self._child.kill("closed")
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(GRACE_S)

    def _wake(self) -> None:
        if self._thread is None:
            # The child is started by this thread and dies with it, so it has to last as long as the worker.
            self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _cancel(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._dropped.append(ticket)
                self._changed.notify_all()
            elif ticket is self._running and self._child is not None:
                self._child.cancel(ticket.number)

    def _work(self) -> None:
        """The thread: takes jobs in turn, one at a time in the child."""
        self._living_child()
        while (ticket := self._next()) is not None or not self._closed:
            self._tell_dropped()
            if ticket is not None:
                last = self._do(self._living_child(), ticket)
                with self._changed:
                    self._running = None
                if not self._closed:
                    ticket.tell(last)

    def _next(self) -> Ticket | None:
        """Wait for a job; None when there is something else to do: say what was dropped, or end."""
        with self._changed:
            while not (self._closed or self._waiting or self._dropped):
                self._changed.wait()
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def _living_child(self) -> _Child:
        if self._child is None or self._child.ended():
            child = _Child()
            with self._changed:
                self._child = child
                if self._closed:
                    child.kill("closed")
        return self._child

    def _do(self, child: _Child, ticket: Ticket) -> Ending:
        """Hand a job over and pass on what it says; returns its last message."""
        child.begin(ticket.number, ticket.job)
        try:
            while (line := child.line()) is not None:
                reply = decode_reply(line)
                if reply.number != ticket.number:
                    continue
                if isinstance(reply.message, Ending):
                    if child.finish():
                        return reply.message
                    break  # killed at the last moment
                ticket.tell(reply.message)
                self._tell_dropped()
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            child.kill(f"it said something that is no message: {safe_text(str(error), 200)}")
        return child.post_mortem()

    def _tell_dropped(self) -> None:
        while True:
            with self._changed:
                if not self._dropped:
                    return
                ticket = self._dropped.popleft()
            ticket.tell(JobCancelled())


class _Child:
    """One process and its three pipes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tensorshark.forensics.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is not for it, and what it starts dies with it
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout
        self._lock = threading.RLock()
        self._job: int | None = None
        """Number of the job that it is doing."""
        self._timers: list[threading.Timer] = []
        """Which kill it, unless the job ends first."""
        self._reason: str | None = None
        """Why it was killed, if it was: what becomes of its job; empty: the job was cancelled."""
        self._said = b""
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stderr,), name="worker stderr", daemon=True
        )
        self._listener.start()

    def begin(self, number: int, job: Job) -> None:
        """Hand over a job, with its time limit."""
        with self._lock:
            self._job = number
            if job.limits.seconds is not None:
                reason = f"it took longer than {job.limits.seconds:g} s and was stopped"
                self._kill_in(job.limits.seconds, reason)
        self._send(Request(number=number, job=job))

    def cancel(self, number: int) -> None:
        """Ask a job to stop, and kill the process if it does not."""
        with self._lock:
            if self._job != number:
                return
            self._kill_in(GRACE_S, "")
        self._send(Request(number=number))

    def finish(self) -> bool:
        """The job has ended; False when the process was killed before that was known."""
        with self._lock:
            self._job = None
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            return self._reason is None

    def line(self) -> bytes | None:
        """The next line; None when the process has ended or says too much at once."""
        line = self._stdout.readline(MAX_LINE)
        if line and not line.endswith(b"\n"):
            self.kill("a message was cut off or too long")
            return None
        return line or None

    def kill(self, reason: str, job: int | None = None) -> None:
        """Kill the process and what it started; with `job`, only while it is doing that one."""
        with self._lock:
            if job is not None and job != self._job:
                return
            if self._reason is None:
                self._reason = reason
            if self._process.returncode is None:  # not reaped yet: the number is still its own
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """True when there is no process that could take a job."""
        with self._lock:
            return self._reason is not None or self._process.poll() is not None

    def post_mortem(self) -> Ending:
        """Wait for the end, and say what it means for the job that was running."""
        self._wait_for_exit()
        with self._lock:
            killed, self._job = self._reason, None
            self.kill("")  # what it started may still be there
            code = self._process.wait()
        self._listener.join(GRACE_S)
        self._stdin.close()
        self._stdout.close()
        self.finish()
        if killed == "":
            return JobCancelled()
        said = safe_text(self._said.decode("utf-8", "replace").strip().rpartition("\n")[2], 300)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        reason = killed or f"the worker process died ({how}{f': {said}' if said else ''})"
        return JobFailed(reason=reason, crashed=True)

    def _wait_for_exit(self) -> None:
        """Until it has exited but is not reaped, so that its exit code is its own; not for ever."""
        deadline = time.monotonic() + GRACE_S
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while time.monotonic() < deadline and self._process.returncode is None:
            if os.waitid(os.P_PID, self._process.pid, flags) is not None:
                return
            time.sleep(0.005)

    def _kill_in(self, seconds: float, reason: str) -> None:
        timer = threading.Timer(seconds, self.kill, [reason, self._job])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _send(self, request: Request) -> None:
        """Write one line; a process that is gone is found out by reading."""
        with self._lock, suppress(BrokenPipeError, ValueError):
            self._stdin.write(encode(request))
            self._stdin.flush()

    def _listen(self, stream: IO[bytes]) -> None:
        """Keep the end of what the child, or a plugin in it, prints."""
        with stream:
            while data := os.read(stream.fileno(), _TAIL):
                self._said = (self._said + data)[-_TAIL:]
