"""One client: reads its requests, does or hands them on, answers each once, and ends with it.

    Session(engine, source, sink).serve()

The reading thread answers what only reads the index, in the order of the questions. What takes longer goes to
`lanes`; `following` keeps the index up with the capture.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET

from tensorshark.forensics.engine import Engine
from tensorshark.forensics.rpc import protocol
from tensorshark.forensics.rpc.following import Follower
from tensorshark.forensics.rpc.lanes import Lanes, Task
from tensorshark.forensics.rpc.methods import METHODS, Method
from tensorshark.forensics.rpc.protocol import (
    CANCELLED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_ANSWER,
    MAX_REQUEST,
    METHOD_NOT_FOUND,
    TOO_LARGE,
    Call,
    Fault,
    Id,
    fault_of,
)
from tensorshark.forensics.rpc.selections import Selections
from tensorshark.forensics.rpc.streams import Gone, Inlet, Outlet
from tensorshark.traces.text import safe_text

CATCH_UP_S = 0.25
"""How long the first request waits for the index; what needs it waits longer, beside the others."""
PATIENCE_S = 0.1
"""Between two looks whether anybody still waits for the last answers."""
GRACE_S = 2.0
"""For the last answers, when the input has ended."""

Reply = Callable[[bytes | None], None]
"""Takes the answer to one request; None: it was a notification."""
Narrate = Callable[[str], None]
"""Takes one line for people."""


class Session:
    """One conversation over two file descriptors, which stay open. See docs/serve.md."""

    def __init__(
        self,
        engine: Engine,
        source: int,
        sink: int,
        narrate: Narrate = lambda _: None,
        *,
        finish: bool = False,
    ) -> None:
        self.engine = engine
        self.selections = Selections(engine)
        self._inlet = Inlet(source, sink)
        self._outlet = Outlet(sink, source)
        self._lanes = Lanes()
        self._narrate = narrate
        self._finish = finish
        """Whether what still runs when the input ends is waited for, and not cancelled."""
        self._follower = Follower(engine, self._offer, narrate)
        self._signal = 0

    def serve(self) -> int:
        """Answer until the input ends: 0, or the signal that `stop` was given. Raises BrokenPipeError."""
        self._follower.start()
        self._follower.ready.wait(CATCH_UP_S)
        gone = False
        try:
            for line in self._inlet.read():
                self._take(line)
            while self._finish and not self._signal and not self._lanes.wait(PATIENCE_S):
                self._inlet.check()
        except Gone:
            gone = True
        self._outlet.stop(0.0 if gone else GRACE_S)
        self._lanes.close(GRACE_S)
        self._follower.stop(GRACE_S)
        if gone and not self._signal:
            raise BrokenPipeError
        return self._signal

    def stop(self, signal: int) -> None:
        """End as if the input had; for a signal handler."""
        self._signal = signal
        self._outlet.stop(GRACE_S)  # who takes nothing shall not keep us
        self._inlet.wake()

    def running(self) -> list[Task]:
        """Requests that run or wait."""
        return self._lanes.tasks()

    def cancel(self, id: Id) -> bool:
        """Cancel a request; it is answered with its own error. False when there is none of that id."""
        return self._lanes.cancel(id)

    @property
    def following(self) -> bool:
        """Whether new traces are told."""
        return self._follower.telling

    def follow(self, on: bool) -> int:
        """Whether to say when traces come; returns how many there are now."""
        return self._follower.tell(on)

    def wait(self, task: Task) -> None:
        """Until the index is whole; says how far it is. Raises Fault when the task is cancelled."""
        while not self._follower.ready.wait(0.05):
            if self._signal:
                task.cancel()
            task.check()
            task.progress(len(self.engine.index), 0)

    def _take(self, line: bytes | None) -> None:
        """One line of the input."""
        if line is None:
            fault = Fault(INVALID_REQUEST, f"a line of more than {MAX_REQUEST:,} bytes; send less at a time")
            self._outlet.send(protocol.failure(fault, None))
        elif line.strip():
            message = protocol.read(line)
            if isinstance(message, list):
                batch = _Batch(len(message), self._reply)
                for each in message:
                    self._call(each, batch.reply, len(line) // len(message))
            else:
                self._call(message, self._reply, len(line))

    def _reply(self, line: bytes | None) -> None:
        if line is not None:
            self._outlet.send(line)

    def _call(self, call: Call | Fault, reply: Reply, size: int) -> None:
        """Do one request, or see to it that it is done."""
        if isinstance(call, Fault):
            reply(protocol.failure(call, call.id))
            return
        id = None if call.id is UNSET else call.id
        if call.id is not UNSET and self._lanes.taken(id):
            # An answer under that id would be taken for the other's.
            fault = Fault(INVALID_REQUEST, f"a request with the id {json.dumps(id)} is still running")
            reply(protocol.failure(fault, None))
            return
        told = reply if call.id is not UNSET else lambda _: reply(None)
        try:
            method = _method(call.method)
            params = _params(method, call.params)
            task = Task(id, method.name, size, self._offer)
            lane = self._lane(method, params)
            if lane != "now":
                if call.id is UNSET:
                    reply(None)  # nobody would hear the answer
                else:
                    self._lanes.submit(lane, task, lambda task: self._work(method, params, task, reply))
                return
        except Gone:
            raise
        except Exception as error:
            told(self._failure(error, id))
            return
        if call.id is not UNSET or method.effect:
            told(self._line(method, params, task))
        else:
            reply(None)

    def _lane(self, method: Method, params: Any) -> str:
        if method.waits and not self._follower.ready.is_set() and not method.effect:
            return "scan" if callable(method.lane) or method.lane == "now" else method.lane
        return method.lane(self, params) if callable(method.lane) else method.lane

    def _work(self, method: Method, params: Any, task: Task, reply: Reply) -> None:
        """A request of a lane, on the lane's thread, or on the one that has cancelled it."""
        try:
            line = self._line(method, params, task)
            self._lanes.finish(task)
            reply(line)
        except Gone:
            self._inlet.wake()
            raise

    def _line(self, method: Method, params: Any, task: Task) -> bytes:
        """Do it, and the line of its answer or error."""
        try:
            task.check()
            if method.waits:
                self.wait(task)
            return protocol.answer(task.id, method.do(self, params, task))
        except Gone:  # of another request, which this one has cancelled
            raise
        except Exception as error:
            fault = Fault(CANCELLED, "cancelled") if task.cancelled() else error
            return self._failure(fault, task.id)

    def _failure(self, error: Exception, id: Id) -> bytes:
        fault = fault_of(error)
        if fault.code == INTERNAL_ERROR:
            self._narrate(fault.message)
        return protocol.failure(fault, id)

    def _offer(self, method: str, params: object) -> bool:
        """Send a notification if the client keeps up."""
        with suppress(Gone):
            return self._outlet.offer(protocol.notification(method, params))
        return False


class _Batch:
    """Collects the answers of a batch, and sends them when all are there."""

    def __init__(self, count: int, reply: Reply) -> None:
        self._left = count
        self._send = reply
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()

    def reply(self, line: bytes | None) -> None:
        """Take one answer; the last one sends them all, if there are any."""
        with self._lock:
            self._left -= 1
            if line is not None:
                self._size += len(line)
                if self._size > MAX_ANSWER:
                    fault = Fault(TOO_LARGE, f"the batch's answers have more than {MAX_ANSWER:,} bytes")
                    line = protocol.failure(fault, msgspec.json.decode(line)["id"])
                self._lines.append(line)
            if self._left or not self._lines:
                return
        self._send(protocol.batch(self._lines))


def _method(name: str) -> Method:
    """The row of the table. Raises Fault."""
    if name not in METHODS:
        from difflib import get_close_matches

        near = get_close_matches(name[:80], METHODS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(METHODS)}"
        raise Fault(METHOD_NOT_FOUND, f"no method {safe_text(name, 80)!r}; {hint}")
    return METHODS[name]


def _params(method: Method, given: dict[str, Any] | list[Any]) -> Any:
    """The parameters as the method's struct; those by position are in the order of its fields."""
    names = method.takes.__struct_fields__
    if isinstance(given, list):
        if len(given) > len(names):
            raise Fault(INVALID_PARAMS, f"{method.name} takes at most {len(names)} parameters")
        given = dict(zip(names, given, strict=False))
    try:
        return msgspec.convert(given, method.takes)
    except msgspec.ValidationError as error:
        takes = f"{method.name} takes {', '.join(names)}" if names else f"{method.name} takes none"
        raise Fault(INVALID_PARAMS, f"{safe_text(str(error), 300)}; {takes}") from None
