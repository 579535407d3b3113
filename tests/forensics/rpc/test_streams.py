"""Lines in and out of real pipes: cut anywhere, too long, unread, broken."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.rpc import streams
from tensorshark.forensics.rpc.streams import Gone, Inlet, Lines, Outlet

Pipe = tuple[int, int]


@pytest.fixture
def source() -> Iterator[Pipe]:
    """What the client writes to: (read end, write end)."""
    yield from ends()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """What the client reads from: (read end, write end)."""
    yield from ends()


def ends() -> Iterator[Pipe]:
    """A pipe, closed afterwards as far as the test has not."""
    both = os.pipe()
    yield both
    for end in both:
        with suppress(OSError):
            os.close(end)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"x", b"\n")), st.lists(st.integers(0, 60)))
def test_lines_are_the_same_however_they_come(data: bytes, cuts: list[int]) -> None:
    lines = Lines(5)
    found: list[bytes | None] = []
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(places):
        found += lines.feed(data[start:stop])
    found += lines.end()
    whole = data.split(b"\n")
    whole = whole if whole[-1] else whole[:-1]
    assert found == [line if len(line) <= 5 else None for line in whole]


def test_a_line_that_is_too_long_costs_no_memory() -> None:
    lines = Lines(1000)
    for _ in range(1000):
        assert list(lines.feed(b"x" * 1000)) == []
        assert len(lines._rest) <= 1000
    assert list(lines.feed(b"\nnext\n")) == [None, b"next"]


def test_reading_until_the_end_and_when_woken(pipe: Pipe) -> None:
    sink_read, sink = os.pipe()
    source, feed = pipe
    inlet = Inlet(source, sink)
    os.write(feed, b"one\ntwo")
    lines = inlet.read()
    assert next(lines) == b"one"
    threading.Timer(0.1, inlet.wake).start()
    assert list(lines) == [], "woken while it waited"
    inlet.close()
    again = Inlet(source, sink)
    os.write(feed, b"three\nfour")
    os.close(feed)
    assert list(again.read()) == [b"three", b"four"], "what has no end is a line, too"
    again.close()
    os.close(sink_read)
    os.close(sink)


def test_it_is_noticed_when_nobody_reads_any_more(pipe: Pipe) -> None:
    source, feed = os.pipe()
    read, sink = pipe
    inlet = Inlet(source, sink)
    threading.Timer(0.1, os.close, [read]).start()
    with pytest.raises(Gone):
        list(inlet.read())
    inlet.close()
    os.close(source)
    os.close(feed)


def test_many_threads_write_whole_lines(pipe: Pipe, source: Pipe) -> None:
    read, sink = pipe
    outlet = Outlet(sink, source[0])
    threads = [
        threading.Thread(target=lambda n=n: [outlet.send(bytes([65 + n]) * 9000) for _ in range(20)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    data = b""
    while data.count(b"\n") < 80:
        data += os.read(read, 1 << 16)
    assert all(len(line) == 9000 and len(set(line)) == 1 for line in data.splitlines())


def test_nobody_waits_longer_than_the_deadline_for_a_client_that_takes_nothing(
    pipe: Pipe, source: Pipe
) -> None:
    _, sink = pipe
    outlet = Outlet(sink, source[0])
    writer = threading.Thread(target=pytest.raises, args=(Gone, outlet.send, b"x" * (1 << 20)))
    writer.start()
    time.sleep(0.1)
    assert writer.is_alive()
    assert not outlet.offer(b"dropped"), "a notification is not worth waiting for"
    outlet.stop(0.1)
    writer.join(5)
    assert not writer.is_alive()
    with pytest.raises(Gone):
        outlet.send(b"more")


def test_notifications_are_dropped_when_the_pipe_is_full(pipe: Pipe, source: Pipe) -> None:
    read, sink = pipe
    outlet = Outlet(sink, source[0])
    sent = 0
    while outlet.offer(b"x" * 4000):
        sent += 1
        assert sent < 1000
    assert sent > 0
    os.read(read, 1 << 16)
    assert outlet.offer(b"again")


def test_who_has_closed_its_end_and_does_not_read_is_not_waited_for(
    pipe: Pipe, source: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it may still write, it is: it may be a pager, or a debugger's prey."""
    monkeypatch.setattr(streams, "STALL_S", 0.1)
    outlet = Outlet(pipe[1], source[0])
    writer = threading.Thread(target=pytest.raises, args=(Gone, outlet.send, b"x" * (1 << 20)))
    writer.start()
    time.sleep(0.5)
    assert writer.is_alive()
    os.close(source[1])
    writer.join(5)
    assert not writer.is_alive()
