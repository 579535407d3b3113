"""A small app around one pane: what the workbench does for it, and nothing else, on synthetic captures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tensorshark.forensics.engine import Engine
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import CursorMoved
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.panes.pane import Pane, Subject


class Bench(App[None]):
    """Shows one pane of one trace and moves its cursor, as the workbench does."""

    pilot: Pilot[None]

    def __init__(self, pane: Pane, subject: Subject | None, cursor: Cursor, theme: str) -> None:
        super().__init__()
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = theme
        self.pane, self.subject, self.cursor = pane, subject, cursor
        self.moves: list[Cursor] = []

    def compose(self) -> ComposeResult:
        """The pane fills the screen."""
        yield self.pane

    def on_mount(self) -> None:
        """What the workbench does when a pane comes up."""
        self.pane.show(self.subject, self.cursor)
        self.pane.focus()

    def on_cursor_moved(self, message: CursorMoved) -> None:
        """One cursor for all."""
        self.moves.append(message.cursor)
        self.cursor = message.cursor
        self.pane.show(self.subject, self.cursor)

    def text(self) -> str:
        """What the pane says."""
        return self.pane.to_text()

    def screen_rows(self) -> list[str]:
        """What is on the screen, row by row."""
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for what comes from a thread or the worker."""
        for _ in range(1500):
            await self.pilot.pause(0.01)
            if done():
                return
        raise AssertionError("this did not come; the pane says:\n" + self.text())

    async def press(self, *keys: str) -> None:
        """Press keys and let the screen settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def click(self, x: int, y: int) -> None:
        """Click a cell of the pane."""
        await self.pilot.click(self.pane, offset=(x, y))
        await self.pilot.pause()


Stage = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Eight traces, six layers, three heads."""
    return write_synthetic(tmp_path / "x.tshark", traces=8, layers=6, heads=3, d_model=16, vocab=64)


@pytest.fixture
def engine(capture: Capture) -> Iterator[Engine]:
    """The real engine, with its worker."""
    with Engine(capture.path) as engine:
        yield engine


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    """`async with stage(pane, capture, number=2, layer=3) as bench:` the pane on a screen of `size`."""

    @asynccontextmanager
    async def put(
        pane: Pane,
        capture: Capture | None,
        number: int = 1,
        other: int = 0,
        engine: Any = None,
        size: tuple[int, int] = (100, 30),
        theme: str = "dark",
        **cursor: Any,
    ) -> AsyncIterator[Bench]:
        shown = None if capture is None else subject(capture, number, other, engine)
        trace = capture.ids()[number - 1] if capture is not None else ""
        bench = Bench(pane, shown, Cursor(trace=trace, **cursor), theme)
        async with bench.run_test(size=size) as pilot:
            bench.pilot = pilot
            await pilot.pause()
            yield bench

    return put


def subject(capture: Capture, number: int, other: int, engine: Any) -> Subject:
    """The subject of a trace by its number, as the workbench builds it."""
    ids, problem, one = capture.ids(), "", None
    try:
        one = capture.trace(ids[number - 1])
        _ = one.stats
    except TensorsharkError as error:
        problem = str(error)
    return Subject(engine, one, capture.trace(ids[other - 1]) if other else None, problem)


def damage(path: Path, name: str, number: int = 1) -> None:
    """Flip one byte near the end of a file of a trace."""
    trace = Capture.open(path).ids()[number - 1]
    file = path / "traces" / trace[:2] / trace / name
    data = bytearray(file.read_bytes())
    data[-5] ^= 0x40
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.fixture
def harm() -> Callable[..., None]:
    """`harm(path, "tensors.safetensors", number)`: damage a committed trace."""
    return damage
