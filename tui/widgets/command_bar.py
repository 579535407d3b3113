"""The `:` line, in place of the footer while it is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from tensorshark.tui.actions import complete
from tensorshark.tui.widgets.status import Heading


class CommandInput(Input):
    """The line itself."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("tab", "complete", show=False),
        Binding("up", "back(-1)", show=False),
        Binding("down", "back(1)", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(select_on_focus=False, compact=True, max_length=4096)
        self.cursor_blink = False
        self._history: list[str] = []
        self._at = 0

    def action_complete(self) -> None:
        """Tab: as much of a command's name as is certain."""
        names = complete(self.value)
        if len(names) == 1:
            self.put(f"{names[0]} ")
        elif names:
            self.post_message(CommandBar.Offered(names))

    def action_back(self, step: int) -> None:
        """Arrows: earlier lines."""
        self._at = max(0, min(len(self._history), self._at + step))
        self.put(self._history[self._at] if self._at < len(self._history) else "")

    def action_leave(self) -> None:
        """Escape: nothing was meant."""
        self.post_message(CommandBar.Entered(""))

    async def action_submit(self) -> None:
        """Enter: run the line."""
        if self.value.strip():
            self._history.append(self.value)
        self._at = len(self._history)
        self.post_message(CommandBar.Entered(self.value.strip()))

    def put(self, text: str) -> None:
        """Replace the text, with the caret at its end."""
        self.value = text
        self.cursor_position = len(text)


class CommandBar(Horizontal):
    """A colon and a line to type on."""

    @dataclass
    class Entered(Message):
        """A line to run; empty when it was left."""

        line: str

    @dataclass
    class Offered(Message):
        """Commands the line could become."""

        names: list[str]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.line = CommandInput()

    def compose(self) -> ComposeResult:
        """The colon, then the line."""
        yield Heading(":", id="command-label")
        yield self.line

    def open(self, text: str = "") -> None:
        """Show it with some text already typed, and give it the keys."""
        self.display = True
        self.line.put(text)
        self.line.focus()

    def close(self) -> None:
        """Take it off the screen."""
        self.display = False
