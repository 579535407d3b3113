"""The trace list: virtual, so that a million traces cost what a screenful does.

Only the rows on the screen are fetched and drawn; a drawn row is kept until something about it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.text import safe_text
from tensorshark.tui.palette import Palette, palette_of
from tensorshark.tui.widgets.columns import MARK_AFTER, SLIM, SLIM_BELOW, Cell, Column, layout, merged
from tensorshark.tui.widgets.line import fit

if TYPE_CHECKING:
    from tensorshark.traces.index import TraceRow

KEEP_ROWS = 2048
"""Fetched rows that are kept."""
KEEP_STRIPS = 512
"""Drawn rows that are kept."""


class TraceList(ScrollView, can_focus=True, inherit_bindings=False):
    """The rows; `ListHeader` draws their headings."""

    DEFAULT_CSS = "TraceList { height: 1fr; overflow-x: hidden; scrollbar-size: 0 0; }"

    @dataclass
    class Chosen(Message):
        """The cursor went to another row."""

        number: int
        """The trace's number, 1-based capture order; 0 when the list is empty."""

    @dataclass
    class Entered(Message):
        """Enter was pressed, or a row clicked that was already chosen."""

    @dataclass
    class Trouble(Message):
        """Rows could not be read."""

        problem: str

    BINDINGS: ClassVar[list[Any]] = [Binding("enter", "enter", show=False)]

    def __init__(self, fetch: Callable[[list[int]], Sequence[TraceRow]], *, id: str | None = None) -> None:
        """`fetch` answers with one row per number, in order; it is asked for a screenful at a time."""
        super().__init__(id=id)
        self._fetch = fetch
        self.numbers: Any = range(0)
        """Displayed traces in display order: a range, or an int64 array. 1-based capture order."""
        self.index = 0
        """Row of the cursor, 0-based."""
        self.marks: set[int] = set()
        """Numbers with an amber dot."""
        self.partner = 0
        """Number of the trace to compare with; 0 is none."""
        self.empty = ""
        """What to say when there is no row."""
        self._rows: dict[int, TraceRow] = {}
        self._strips: dict[tuple[Any, ...], Strip] = {}
        self._columns: list[tuple[Column, int]] = []
        self._shape: tuple[int, int, str] = (0, 0, "")

    # What is displayed

    @property
    def number(self) -> int:
        """The trace the cursor is on; 0 when the list is empty."""
        return int(self.numbers[self.index]) if len(self.numbers) else 0

    def fill(self, numbers: Any, keep: int = 0) -> None:
        """Show these traces; the cursor stays on trace `keep` where that is among them, else near its row."""
        self.numbers = numbers
        position = find(numbers, keep) if keep else -1
        self.index = position if position >= 0 else max(0, min(self.index, len(numbers) - 1))
        self.virtual_size = Size(1, len(numbers))
        self._reveal()
        self.refresh()
        self.post_message(self.Chosen(self.number))

    def row(self, number: int) -> TraceRow | None:
        """One trace's row; None when it cannot be read."""
        if number and number not in self._rows:
            self._load([number])
        return self._rows.get(number)

    def forget(self) -> None:
        """Drop every row that was fetched and every row that was drawn."""
        self._rows.clear()
        self._strips.clear()
        self.refresh()

    def mark(self, number: int) -> bool:
        """Mark or unmark a trace; True when it is marked now."""
        self.marks ^= {number}
        self.refresh()
        return number in self.marks

    def pair(self, number: int) -> None:
        """Show which trace is compared with; 0 for none."""
        self.partner = number
        self.refresh()

    def next_mark(self) -> int:
        """Row of the next marked trace, going round; -1 when none is displayed."""
        rows = sorted(row for number in self.marks if (row := find(self.numbers, number)) >= 0)
        return next((row for row in rows if row > self.index), rows[0] if rows else -1)

    # Moving

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, clamped to the list; repaints two lines, or half a page at an edge."""
        index = max(0, min(index, len(self.numbers) - 1))
        if index == self.index or not len(self.numbers):
            return
        old, self.index = self.index, index
        if not self._reveal():
            self.refresh_line(old)
            self.refresh_line(index)
        self.post_message(self.Chosen(self.number))

    def step(self, rows: int) -> None:
        """Move the cursor by a number of rows."""
        self.move_to(self.index + rows)

    @property
    def page(self) -> int:
        """Rows on the screen."""
        return max(1, self.size.height)

    def _reveal(self) -> bool:
        """Scroll so that the cursor's row is seen; half a page at a time, so that most moves are small."""
        top, height = int(self.scroll_offset.y), self.page
        if top <= self.index < top + height:
            return False
        middle = self.index - height // 2
        self.scroll_to(y=max(0, min(middle, len(self.numbers) - height)), animate=False, force=True)
        return True

    # Drawing

    @property
    def palette(self) -> Palette:
        """The colours of the theme in use."""
        return palette_of(self.app.theme)

    def columns(self) -> list[tuple[Column, int]]:
        """The columns on the screen with their widths, left to right."""
        shape = (self.size.width, len(str(self._largest())), self.app.theme)
        if shape != self._shape:
            self._shape = shape
            self._columns = layout(self.size.width, self._largest())
            self._strips.clear()
        return self._columns

    def _largest(self) -> int:
        return max(int(self.numbers[0]), int(self.numbers[-1])) if len(self.numbers) else 0

    def render_line(self, y: int) -> Strip:
        """Textual's line API: the row that is `y` lines below the top edge."""
        width = self.size.width
        if not len(self.numbers):
            words = fit(f" {self.empty}" if y == 1 else "", width)
            return Strip([Segment(words, self.palette.style("dim"))], width).apply_style(self.rich_style)
        index = int(self.scroll_offset.y) + y
        if index >= len(self.numbers):
            return Strip.blank(width, self.rich_style)
        number, here = int(self.numbers[index]), index == self.index
        columns = self.columns()
        key = (number, here, number in self.marks, number == self.partner)
        if (strip := self._strips.get(key)) is None:
            if number not in self._rows:
                top = int(self.scroll_offset.y)
                self._load([int(n) for n in self.numbers[top : top + self.page]])
            row = self._rows.get(number)
            if row is None:
                return Strip([Segment(fit(f" {number} could not be read", width), self.palette.style("bad"))])
            if len(self._strips) >= KEEP_STRIPS:
                self._strips.clear()
            strip = self._strips[key] = self._draw(row, here, columns).apply_style(self.rich_style)
        return strip

    def _draw(self, row: TraceRow, here: bool, columns: list[tuple[Column, int]]) -> Strip:
        palette = self.palette
        cells: list[Cell] = [("▸" if here else " ", palette.style("text" if here else "dim"))]
        for column, width in columns:
            text, style = column.draw(row, width, palette)
            if here:  # legible on the cursor's ground, and fewer bytes for the row that moves most
                style = palette.style("text", bold=column.name == MARK_AFTER)
            cells.append((fit(text, width, column.right) + " ", style))
            if column.name == MARK_AFTER:
                cells.append(self._flag(row))
        strip = Strip(merged(cells)).adjust_cell_length(self.size.width)
        return Strip(Segment.apply_style(strip, None, palette.selected)) if here else strip

    def _flag(self, row: TraceRow) -> Cell:
        """Two cells and a blank: what the analyst set, then what the capture says about itself."""
        palette, number = self.palette, row.number
        if number in self.marks or number == self.partner:
            sign = ("●" if number in self.marks else " ") + ("≠" if number == self.partner else " ")
            return f"{sign} ", palette.style("amber", bold=True)
        if row.expert in ("warn", "error"):
            sign, color = ("!  ", "amber") if row.expert == "warn" else ("✗  ", "bad")
            return sign, palette.style(color, bold=True)
        return "   ", palette.style()

    def _load(self, numbers: list[int]) -> None:
        wanted = [number for number in numbers if number not in self._rows]
        if len(self._rows) > KEEP_ROWS:
            self._rows.clear()
            wanted = numbers
        try:
            for row in self._fetch(wanted):
                self._rows[row.number] = row
        except (TensorsharkError, OSError) as error:
            self.post_message(self.Trouble(safe_text(str(error))))

    def to_text(self) -> list[str]:
        """The rows on the screen as they stand there, without the blanks at their ends."""
        shown = min(self.page, len(self.numbers) or self.page)
        return [self.render_line(y).text.rstrip() for y in range(shown)]

    # Events

    def action_enter(self) -> None:
        """Enter: go on to the next part of the screen."""
        self.post_message(self.Entered())

    def on_resize(self) -> None:
        """Keep the cursor's row on the screen."""
        self.virtual_size = Size(1, len(self.numbers))
        self._reveal()

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the pointer; a click on the chosen one enters it."""
        index = int(self.scroll_offset.y) + event.y
        if index >= len(self.numbers):
            return
        if index == self.index:
            self.post_message(self.Entered())
        self.move_to(index)


def find(numbers: Any, number: int) -> int:
    """Where a trace stands in the display order, or -1."""
    if isinstance(numbers, range):
        return number - numbers.start if number in numbers else -1
    hits = (numbers == number).nonzero()[0]
    return int(hits[0]) if len(hits) else -1


class ListHeader(Widget):
    """The headings: a click orders the list, and the one in order carries an arrow."""

    DEFAULT_CSS = "ListHeader { height: 1; }"

    @dataclass
    class Pressed(Message):
        """A heading was clicked."""

        column: str

    def __init__(self, rows: TraceList, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._list = rows
        self.order = "no"
        """Name of the column the list is in order of; empty for another expression."""
        self.descending = False
        """True for largest first."""

    def render_line(self, y: int) -> Strip:
        """Textual's line API."""
        palette = palette_of(self.app.theme)
        cells: list[Cell] = [(" ", palette.style("dim"))]
        slim = self.size.width < SLIM_BELOW
        for column, width in self._list.columns():
            title = SLIM[column.name][0] if slim and column.name in SLIM else column.title
            here = column.name == self.order
            if here:
                title = f"{title[: max(0, width - 1)]}{'↓' if self.descending else '↑'}"
            style = palette.style("accent" if here else "dim", bold=here)
            cells.append((fit(title, width, column.right) + " ", style))
            if column.name == MARK_AFTER:
                cells.append(("   ", style))
        return Strip(merged(cells)).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Tell which heading was clicked."""
        x = 1
        for column, width in self._list.columns():
            x += width + 1 + 3 * (column.name == MARK_AFTER)
            if event.x < x:
                self.post_message(self.Pressed(column.name))
                return
