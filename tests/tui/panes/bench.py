"""A small app around one pane: what the workbench does for it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.store import Capture
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import CursorMoved
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.panes.pane import Pane, Subject


class Bench(App[None]):
    """Shows one pane of one trace and moves its cursor."""

    def __init__(self, pane: Pane, subject: Subject | None, cursor: Cursor, theme: str = "dark") -> None:
        super().__init__()
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = theme
        self.pane, self.subject, self.at = pane, subject, cursor

    def compose(self) -> ComposeResult:
        """The pane fills the screen."""
        yield self.pane

    def on_mount(self) -> None:
        """What the workbench does when a pane comes up."""
        self.pane.show(self.subject, self.at)
        self.pane.focus()

    def on_cursor_moved(self, message: CursorMoved) -> None:
        """One cursor for all."""
        self.go(message.cursor)

    def go(self, cursor: Cursor) -> None:
        """Move the cursor, as another pane would."""
        self.at = cursor
        self.pane.show(self.subject, cursor)


def subject(capture: Capture, number: int = 1, other: int = 0, engine: Any = None) -> Subject:
    """The subject of a trace by its number, as the workbench builds it."""
    ids = capture.ids()
    problem, one = "", None
    try:
        one = capture.trace(ids[number - 1])
        _ = one.stats
    except TensorsharkError as error:
        problem = str(error)
    return Subject(engine, one, capture.trace(ids[other - 1]) if other else None, problem)


async def settle(pilot: Pilot[None], done: Callable[[], bool] = lambda: True) -> None:
    """Wait until the pane has drawn, and `done` says that what came from a thread is there."""
    for _ in range(400):
        await pilot.pause(0.01)
        if done():
            return
    raise AssertionError("the pane did not settle; it shows:\n" + pilot.app.pane.to_text())  # type: ignore[attr-defined]


def moved(app: Bench, **changes: Any) -> Cursor:
    """The app's cursor with changes."""
    return replace(app.at, **changes)
