"""Requests side by side: in turn within a lane, cancelled anywhere, never more than there is room for."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from tensorshark.forensics.rpc import lanes
from tensorshark.forensics.rpc.lanes import Lanes, Task
from tensorshark.forensics.rpc.protocol import Fault


class Bench:
    """Lanes with work that ends when it is told to, and says what became of it."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.said: queue.Queue[tuple[Any, str]] = queue.Queue()
        self.gates: dict[Any, threading.Event] = {}

    def submit(self, lane: str, id: Any, size: int = 0) -> Task:
        """A request that waits at its gate."""
        gate = threading.Event()
        task = Task(id, "x", size)

        def work(task: Task) -> None:
            task.when_cancelled(gate.set)
            if not task.cancelled():
                self.said.put((id, "begun"))
            assert gate.wait(10)
            self.lanes.finish(task)
            self.said.put((id, "cancelled" if task.cancelled() else "done"))

        self.lanes.submit(lane, task, work)
        self.gates[id] = gate
        return task

    def hear(self) -> tuple[Any, str]:
        """What was said next."""
        return self.said.get(timeout=10)


def test_a_lane_takes_its_requests_in_turn_and_lanes_do_not_wait_for_each_other() -> None:
    bench = Bench()
    for id in (1, 2, 3):
        bench.submit("run", id)
    assert bench.hear() == (1, "begun")
    bench.submit("lens", 4)
    assert bench.hear() == (4, "begun")
    for id in (1, 2, 3):
        bench.gates[id].set()
    assert [bench.hear() for _ in range(5)] == [
        (1, "done"),
        (2, "begun"),
        (2, "done"),
        (3, "begun"),
        (3, "done"),
    ]
    assert [task.id for task in bench.lanes.tasks()] == [4]
    bench.lanes.close(5)
    assert bench.hear() == (4, "cancelled")


def test_a_wide_lane_does_several_at_a_time() -> None:
    bench = Bench()
    for id in range(lanes.WIDTH["scan"] + 1):
        bench.submit("scan", id)
    assert {bench.hear()[0] for _ in range(lanes.WIDTH["scan"])} == set(range(lanes.WIDTH["scan"]))
    assert bench.said.empty()
    bench.gates[0].set()
    assert [bench.hear(), bench.hear()] == [(0, "done"), (lanes.WIDTH["scan"], "begun")]
    bench.lanes.close(5)


def test_cancelling_what_waits_and_what_runs() -> None:
    bench = Bench()
    bench.submit("run", "a")
    bench.submit("run", "b")
    assert bench.hear() == ("a", "begun")
    assert bench.lanes.cancel("b") and bench.hear() == ("b", "cancelled")
    assert bench.lanes.cancel("a") and bench.hear() == ("a", "cancelled")
    assert not bench.lanes.cancel("a") and not bench.lanes.cancel("c")
    bench.lanes.close(5)


def test_an_id_is_free_again_when_it_is_answered() -> None:
    bench = Bench()
    bench.submit("run", 1)
    assert bench.lanes.taken(1) and not bench.lanes.taken("1")
    bench.submit("scan", "1")  # another id: a string
    bench.gates[1].set()
    heard = {bench.hear() for _ in range(3)}
    assert (1, "done") in heard
    bench.submit("run", 1)
    bench.lanes.close(5)


def test_there_is_an_end_to_waiting() -> None:
    bench = Bench()
    bench.submit("run", 0)
    assert bench.hear() == (0, "begun")
    for id in range(1, lanes.MAX_WAITING + 1):
        bench.submit("run", id)
    with pytest.raises(Fault) as caught:
        bench.submit("scan", -1)
    assert caught.value.code == -32012
    bench.lanes.close(5)
    other = Bench()
    other.submit("run", 0)
    assert other.hear() == (0, "begun")
    with pytest.raises(Fault):
        other.submit("run", 1, lanes.MAX_WAITING_BYTES + 1)
    other.lanes.close(5)


def test_progress_is_noted_always_and_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    task = Task(5, "x", 0, lambda method, params: told.append((method, params)) is None)
    for done in range(100):
        task.progress(done, 100)
    assert (task.done, task.total, told) == (99, 100, [])
    monkeypatch.setattr(lanes, "REPORT_S", 0.0)
    task.progress(100, 100)
    assert told == [("progress", {"request": 5, "done": 100, "total": 100})]


def test_who_listens_late_hears_of_a_cancellation_too() -> None:
    task, heard = Task(1, "x"), list[int]()
    task.when_cancelled(lambda: heard.append(1))
    task.cancel()
    task.cancel()
    task.when_cancelled(lambda: heard.append(2))
    assert heard == [1, 2]
    with pytest.raises(Fault, match="cancelled"):
        task.check()
