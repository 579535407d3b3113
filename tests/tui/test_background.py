"""The newest request wins: what is asked for in a hurry is done once."""

from __future__ import annotations

import threading

from tensorshark.tui.background import Newest


def test_a_waiting_job_is_replaced() -> None:
    """While one job runs, of those asked for only the last is done."""
    slot, done = Newest("test"), []
    started, go, finished = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        started.set()
        go.wait(5)
        done.append("first")

    slot.ask(first)
    assert started.wait(5)
    slot.ask(lambda: done.append("skipped"))
    slot.ask(lambda: (done.append("last"), finished.set()))
    go.set()
    assert finished.wait(5)
    assert done == ["first", "last"]
    slot.close()


def test_a_job_waits_for_a_newer_one() -> None:
    """With a delay, a burst ends in one job: the last."""
    slot, done, finished = Newest("test", delay=0.05), [], threading.Event()
    for number in range(20):
        slot.ask(lambda number=number: (done.append(number), finished.set()))
    assert finished.wait(5)
    assert done == [19]
    slot.close()


def test_closing_ends_the_thread() -> None:
    """No thread is left behind, and nothing more is done."""
    slot, ran = Newest("test-closing"), threading.Event()
    slot.ask(ran.set)
    assert ran.wait(5)
    slot.close()
    slot.ask(lambda: ran.clear())
    for thread in threading.enumerate():
        if thread.name == "test-closing":
            thread.join(5)
            assert not thread.is_alive()
    assert ran.is_set()
