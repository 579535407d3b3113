"""Long filters in the workbench: what was found so far is shown, the cursor stays, Esc stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tensorshark.forensics.filter.answers import answer
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.traces.trace import Trace
from tests.tui.test_app import opened, press, screen, until

SCAN = "max(resid_post.norm) > 0"


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough traces for several looks."""
    return write_synthetic(tmp_path_factory.mktemp("listing") / "sixty.tshark", traces=60).path


class Gate:
    """Lets the filter's thread open so many traces and no more."""

    def __init__(self) -> None:
        self.let = 0
        self.opened = 0
        self._changed = threading.Condition()

    def pass_(self) -> None:
        """Wait until one more may be opened."""
        with self._changed:
            self._changed.wait_for(lambda: self.opened < self.let, timeout=10)
            self.opened += 1

    def open(self, count: int) -> None:
        """So many in all."""
        with self._changed:
            self.let = count
            self._changed.notify_all()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Reports come at every look, and the scan goes as far as the test lets it."""
    monkeypatch.setattr(answer, "EVERY_S", 0.0)
    gate, trace = Gate(), Index.trace

    def waiting(self: Index, number: int) -> Trace:
        if threading.current_thread().name == "select":
            gate.pass_()
        return trace(self, number)

    monkeypatch.setattr(Index, "trace", waiting)
    yield gate
    gate.open(1 << 30)


def counted(app: object, words: str) -> Callable[[], bool]:
    """True once the screen says so."""
    return lambda: words in screen(app)  # type: ignore[arg-type]


async def test_until_something_is_found_the_line_says_that_it_is_looked_for(sixty: Path, gate: Gate) -> None:
    async with opened(sixty) as (app, pilot):
        await pilot.press("slash", *"max(resid_post.norm) > 1e9", "enter")
        await until(app, counted(app, "ok · filtering"))
        gate.open(1 << 30)
        await until(app, counted(app, "ok · 0 of 60"))
        assert "filtering" not in screen(app)


async def test_what_was_found_is_shown_while_the_scan_goes_on(sixty: Path, gate: Gate) -> None:
    async with opened(sixty) as (app, pilot):
        await press(app, pilot, "j", "j", "j")
        assert app.rows.number == 4
        gate.open(20)
        await pilot.press("slash", *SCAN, "enter")
        await until(app, counted(app, "16 of 60, 26 % scanned · Esc stops"))
        assert "16+ of 60" in screen(app)
        assert len(app.rows.numbers) == 16
        assert app.rows.number == 4, "the cursor stays where it is"
        gate.open(1 << 30)
        await until(app, lambda: len(app.rows.numbers) == 60)
        await until(app, counted(app, "60 of 60"))
        assert "scanned" not in screen(app)
        assert app.rows.number == 4


async def test_escape_stops_and_keeps_what_was_found(sixty: Path, gate: Gate) -> None:
    async with opened(sixty) as (app, pilot):
        gate.open(20)
        await pilot.press("slash", *SCAN, "enter")
        await until(app, counted(app, "16 of 60, 26 % scanned"))
        await pilot.press("escape")
        gate.open(1 << 30)
        await until(app, counted(app, "stopped: 16 found, 26 % scanned"))
        assert app.rows.numbers.tolist() == list(range(1, 17))
        assert "16+ of 60" in screen(app)
        before = gate.opened
        await pilot.press("slash", "enter")
        await until(app, lambda: len(app.rows.numbers) == 60)
        assert gate.opened - before <= 60 - 16, "it went on where it was"


async def test_escape_does_nothing_when_nothing_is_under_way(sixty: Path) -> None:
    async with opened(sixty) as (app, pilot):
        await press(app, pilot, "escape")
        assert (app.state.say, app.applied, app.rows.number) == ("", "", 1)
        assert len(app.rows.numbers) == 60
