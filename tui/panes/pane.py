"""What every pane of the workbench is: a view of one trace at one cursor.

A pane draws lines of text. The app calls `show` when the trace or the cursor changes while the pane is
visible; the pane posts `CursorMoved` when the user moves in it. What cannot be shown is said in words by
this class, so a pane's own `draw` only ever sees a trace that is there and whole.

    class Norms(Pane):
        TITLE = "Norms"

        def draw(self, y: int, width: int) -> Strip: ...
        def to_text(self) -> str: ...
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import CursorMoved
from tensorshark.tui.palette import Palette, palette_of

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine
    from tensorshark.traces.store import Trace


@dataclass(frozen=True)
class Subject:
    """What the panes are about. Built in a thread; by the time a pane sees it, nothing here blocks."""

    engine: Engine
    trace: Trace | None
    """None when it could not be read; then `problem` says why."""
    other: Trace | None = None
    """The trace marked for diff, when there is one."""
    problem: str = ""
    """Why there is nothing to show, safe to print: damage, a capture that is gone."""
    heads: int = 0
    """Attention heads of the trace's model."""


class Pane(Widget, can_focus=True):
    """Base of the panes. Subclasses write `draw` and `to_text`; `show` may be extended to start work."""

    TITLE: ClassVar[str] = ""
    """One word for the tab."""
    KEY: ClassVar[str] = ""
    """The key that brings it up, from anywhere but the filter line."""

    DEFAULT_CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.subject: Subject | None = None
        self.cursor = Cursor()

    def show(self, subject: Subject | None, cursor: Cursor) -> None:
        """Take a new subject, cursor or both, and redraw. Called only while the pane is visible."""
        self.subject, self.cursor = subject, cursor
        self.refresh()

    def draw(self, y: int, width: int) -> Strip:
        """Line `y` of the pane, at most `width` cells. Only called when `missing()` is empty."""
        raise NotImplementedError

    def to_text(self) -> str:
        """The pane as plain text: the same words and numbers that are on the screen."""
        raise NotImplementedError

    def missing(self) -> str:
        """Why there is nothing to draw, in words; empty when there is. Subclasses add what they need."""
        if self.subject is None:
            return "No trace selected."
        if self.subject.problem:
            return self.subject.problem
        return "" if self.subject.trace else "This trace could not be read."

    @property
    def trace(self) -> Trace:
        """The trace on show; only to be asked for when `missing()` is empty."""
        assert self.subject is not None and self.subject.trace is not None
        return self.subject.trace

    @property
    def palette(self) -> Palette:
        """The colours of the theme in use."""
        return palette_of(self.app.theme)

    def move(self, **changes: Any) -> None:
        """Ask the app to move the shared cursor, e.g. `move(layer=12, token=3)`."""
        self.post_message(CursorMoved(replace(self.cursor, **changes)))

    def render_line(self, y: int) -> Strip:
        """Textual's line API: the drawing, or the words that stand for it, on the pane's background."""
        width = self.size.width
        words = self.missing()
        strip = self._words(words, y, width) if words else self.draw(y, width)
        return strip.adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)

    def _words(self, words: str, y: int, width: int) -> Strip:
        """Line `y` of a message, wrapped and set one cell in, below an empty line."""
        room = max(8, width - 2)
        lines = [part for line in words.splitlines() for part in textwrap.wrap(line, room) or [""]]
        index = y - (self.size.height > len(lines) + 1)
        text = lines[index] if 0 <= index < len(lines) else ""
        return Strip([Segment(" " + text, self.palette.style("dim"))])
