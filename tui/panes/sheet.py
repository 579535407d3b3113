"""What the panes of numbers share: rows that are drawn at once, work in a thread, keys and clicks.

A sheet makes all its rows for a size and a cursor, and only those that changed go to the terminal. Work
that reads files or draws curves runs in one thread; a newer request replaces one that still waits.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.text import safe_text, token_text
from tensorshark.tui.background import Newest
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.panes.pane import Pane, Subject

Line = list[Segment]
"""One row of the screen."""


@dataclass
class Brought(Message, bubble=False):
    """Work done in the thread came back to its pane."""

    key: Hashable
    """What it was for; an answer that is no longer waited for is dropped."""
    value: Any
    """The result, or the exception that came instead."""


class Sheet(Pane):
    """A pane that draws all its rows at once. Subclasses write `lines`, and `hit` to be clicked in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "vertical(1)", "Up", show=False),
        Binding("down", "vertical(-1)", "Down", show=False),
        Binding("left", "horizontal(-1)", "Left", show=False),
        Binding("right", "horizontal(1)", "Right", show=False),
        Binding("v", "view", "View", show=False),
    ]

    VIEWS: ClassVar[tuple[str, ...]] = ()
    """What `v` goes through; the first is shown first."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = self.VIEWS[0] if self.VIEWS else ""
        self._rows: list[Strip] = []
        self._drawn_for: tuple[object, ...] = ()
        self._lack = "No trace selected."
        self._asked: Hashable = None
        self._thread = Newest(self.TITLE)

    # What subclasses say -------------------------------------------------------------------------------

    def lines(self, width: int, height: int) -> list[Line]:
        """The rows, top first. Only called when `lack` is empty; what is below `height` is not shown."""
        raise NotImplementedError

    def lack(self) -> str:
        """Why this trace cannot be shown here, and what to do about it; empty when it can."""
        return ""

    def brought(self, value: Any) -> None:
        """Take the result of `fetch`; the pane is redrawn afterwards."""

    def vertical(self, step: int) -> None:
        """The up (1) or down (-1) key: a layer, unless a pane says otherwise."""
        self.move_layer(step)

    def horizontal(self, step: int) -> None:
        """The right (1) or left (-1) key: a token, unless a pane says otherwise."""
        self.move_token(step)

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """What of the cursor a click at `x`, `y` changes."""
        return None

    # Drawing -------------------------------------------------------------------------------------------

    def show(self, subject: Subject | None, cursor: Cursor) -> None:
        """Take a new subject, cursor or both, and redraw what changed."""
        self.subject, self.cursor = subject, cursor
        self.redraw()

    def missing(self) -> str:
        """Why there is nothing to draw, as of the last `show`."""
        return self._lack

    def redraw(self) -> None:
        """Make the rows anew and send those that differ."""
        before, lacked = self._rows, self._lack
        self._lack = super().missing() or self._safely(self.lack)
        self._drawn_for = ()
        if not self.is_attached or not self.size:
            return
        after = [] if self._lack else self._made(self.size.width, self.size.height)
        if lacked or self._lack or len(before) != len(after):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def draw(self, y: int, width: int) -> Strip:
        """Line `y`, as made for this size and theme."""
        rows = self._made(width, self.size.height)
        return rows[y] if y < len(rows) else Strip.blank(width)

    def to_text(self) -> str:
        """The pane as plain text: the rows of the screen, or why there are none."""
        if words := self._lack:
            return words
        width, height = self.size or (80, 20)
        return "\n".join(strip.text.rstrip() for strip in self._made(width, height)).rstrip()

    def _made(self, width: int, height: int) -> list[Strip]:
        key = (width, height, self.app.theme)
        if self._drawn_for != key:
            try:
                lines = self.lines(width, height)
            except TensorsharkError as error:
                lines = self.words(str(error), width, "bad")
            strips = [Strip(line).simplify().adjust_cell_length(width) for line in lines[:height]]
            self._rows = strips + [Strip.blank(width)] * (height - len(strips))
            self._drawn_for = key
        return self._rows

    def words(self, text: str, width: int, color: str = "dim") -> list[Line]:
        """A message as rows, wrapped; `text` must be safe to print."""
        style = self.palette.style(color)
        return [[Segment(" " + line, style)] for line in textwrap.wrap(text, max(8, width - 2))]

    @staticmethod
    def _safely(say: Callable[[], str]) -> str:
        """What `say` returns, or what went wrong in it: damage is said, never drawn as values."""
        try:
            return say()
        except TensorsharkError as error:
            return str(error)

    # Work in a thread ----------------------------------------------------------------------------------

    def fetch(self, key: Hashable, work: Callable[[], Any]) -> None:
        """Do `work` in a thread and hand its result to `brought`. The newest key wins."""
        if key == self._asked or not self.is_attached:
            return
        self._asked = key

        def job() -> None:
            value: Any
            try:
                value = work()
            except (TensorsharkError, OSError, MemoryError) as error:
                value = error
            self.post_message(Brought(key, value))

        # After the next paint, so that the key that asked has been answered.
        self.call_after_refresh(self._thread.ask, job)

    def forget(self) -> None:
        """Let the next `fetch` of the same key do its work again."""
        self._asked = None

    def on_unmount(self) -> None:
        """Let the thread end."""
        self._thread.close()

    def on_brought(self, message: Brought) -> None:
        """Take what the thread made, unless something newer was asked for since."""
        if message.key == self._asked:
            self.brought(message.value)
            self.redraw()

    # Keys and clicks -----------------------------------------------------------------------------------

    def action_vertical(self, step: int) -> None:
        """Up or down."""
        if not self._lack:
            self.vertical(step)

    def action_horizontal(self, step: int) -> None:
        """Left or right."""
        if not self._lack:
            self.horizontal(step)

    def action_view(self) -> None:
        """The next view of the same numbers."""
        if self.VIEWS:
            self.view = self.VIEWS[(self.VIEWS.index(self.view) + 1) % len(self.VIEWS)]
            self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to what was clicked."""
        offset = event.get_content_offset(self)
        changes = None if offset is None or self._lack else self.hit(offset.x, offset.y)
        if changes:
            self.move(**changes)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves like the up key."""
        event.stop()
        self.action_vertical(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves like the down key."""
        event.stop()
        self.action_vertical(-1)

    def move_layer(self, step: int) -> None:
        """To the next captured layer above (1) or below (-1) the cursor's."""
        layers = self.captured_layers()
        further = [layer for layer in layers if (layer - self.cursor.layer) * step > 0]
        if further:
            self.move(layer=min(further) if step > 0 else max(further))

    def move_token(self, step: int) -> None:
        """To the next token right (1) or left (-1)."""
        token = min(max(0, self.cursor.token + step), len(self.trace.tokens) - 1)
        if token != self.cursor.token:
            self.move(token=token)

    def captured_layers(self) -> Sequence[int]:
        """Model layers that the cursor may visit, ascending: those of its site."""
        site = self.trace.sites.get(self.cursor.site)
        return site.layers if site else range(self.trace.model.layers)

    # Words ---------------------------------------------------------------------------------------------

    def place(self) -> str:
        """`layer 12 · token 4 “·and”`, safe to print."""
        tokens = self.trace.tokens
        name = f" “{token_text(tokens[self.cursor.token], 16)}”" if self.cursor.token < len(tokens) else ""
        return f"layer {self.cursor.layer} · token {self.cursor.token}{name}"

    def again(self, flags: str) -> str:
        """The command that captures what is missing; `flags` say what that is."""
        source = safe_text(self.trace.model.source, 80)
        return f"tensorshark capture -w NEW.tshark --model {source} {flags} --prompt '…'"
