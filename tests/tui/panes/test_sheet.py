"""What all panes of numbers do: newest work wins, few rows are repainted, trouble is said."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rich.segment import Segment
from textual.geometry import Region

from tensorshark.traces.errors import IntegrityError
from tensorshark.traces.store import Capture
from tensorshark.tui.panes.sheet import Line, Sheet


class Ten(Sheet):
    """Ten rows; the one of the cursor's layer is marked, and the last shows what the thread brought."""

    VIEWS = ("one", "two")
    made = 0
    value: Any = "nothing"

    def lines(self, width: int, height: int) -> list[Line]:
        """Ten rows."""
        self.made += 1
        marks = (">" if row == self.cursor.layer else " " for row in range(9))
        return [*([Segment(f"{mark}{self.view}")] for mark in marks), [Segment(f"brought {self.value}")]]

    def brought(self, value: Any) -> None:
        """Keep it."""
        self.value = value

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """The row."""
        return {"layer": y} if y < 6 else None


async def test_only_rows_that_changed_are_repainted(
    stage: Any, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pane = Ten()
    async with stage(pane, capture, layer=2, size=(20, 10)) as bench:
        regions: list[tuple[Region, ...]] = []
        refresh = pane.refresh

        def watched(*dirty: Region, **options: Any) -> Sheet:
            regions.append(dirty)
            return refresh(*dirty, **options)

        monkeypatch.setattr(pane, "refresh", watched)
        await bench.press("up")
        assert regions == [(Region(0, 2, 20, 1), Region(0, 3, 20, 1))]
        assert bench.screen_rows()[2:4] == [" one", ">one"]
        regions.clear()
        pane.redraw()
        assert regions == []


async def test_rows_are_made_once_for_a_size(stage: Any, capture: Capture) -> None:
    pane = Ten()
    async with stage(pane, capture, layer=2, size=(20, 10)) as bench:
        before = pane.made
        pane.refresh()
        await bench.pilot.pause()
        assert pane.made == before
        bench.theme = "light"
        await bench.pilot.pause()
        assert pane.made == before + 1


async def test_the_newest_request_wins_and_known_ones_are_free(stage: Any, capture: Capture) -> None:
    pane = Ten()
    async with stage(pane, capture, size=(20, 10)) as bench:
        hold, done = threading.Event(), []

        def work(name: str) -> str:
            hold.wait(5)
            done.append(name)
            return name

        for name in ("a", "b", "c", "c"):
            pane.fetch(name, lambda name=name: work(name))
            await bench.pilot.pause(0.05)
        hold.set()
        await bench.until(lambda: pane.value == "c")
        assert done == ["a", "c"]
        assert bench.text().endswith("brought c")
        pane.fetch("c", lambda: work("again"))
        await bench.pilot.pause(0.05)
        assert done == ["a", "c"]
        pane.forget()
        pane.fetch("c", lambda: work("again"))
        await bench.until(lambda: pane.value == "again")


async def test_trouble_in_the_thread_or_while_drawing_is_said(
    stage: Any, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pane = Ten()
    async with stage(pane, capture, size=(60, 10)) as bench:

        def broken() -> None:
            raise IntegrityError("trace 12 is damaged: restore it", "12")

        pane.fetch("x", broken)
        await bench.until(lambda: "trace 12 is damaged" in bench.text())
        monkeypatch.setattr(pane, "lines", lambda width, height: broken())
        pane.redraw()
        await bench.pilot.pause()
        assert bench.screen_rows()[0] == " trace 12 is damaged: restore it"
        monkeypatch.setattr(pane, "lack", broken)
        pane.redraw()
        assert bench.text() == "trace 12 is damaged: restore it"


async def test_keys_wheel_and_clicks(stage: Any, capture: Capture) -> None:
    async with stage(Ten(), capture, number=2, layer=2, token=3, size=(20, 10)) as bench:
        await bench.press("up", "right", "left", "down", "v")
        assert [(move.layer, move.token) for move in bench.moves] == [(3, 3), (3, 4), (3, 3), (2, 3)]
        assert bench.screen_rows()[0] == " two"
        await bench.click(3, 5)
        assert bench.cursor.layer == 5
        await bench.click(3, 8)
        assert bench.cursor.layer == 5


async def test_a_pane_that_is_gone_is_not_written_to(stage: Any, capture: Capture) -> None:
    pane = Ten()
    async with stage(pane, capture, size=(20, 10)) as bench:
        hold = threading.Event()
        pane.fetch("slow", lambda: hold.wait(5))
        await bench.pilot.pause(0.05)
        await pane.remove()
        hold.set()
        await bench.pilot.pause(0.05)
        pane.fetch("late", lambda: pytest.fail("a pane without a screen must not work"))
