"""One line of the screen, and fitting words into it.

Words are dropped in a fixed order before any is cut, so that a narrow screen says less, not half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tensorshark.tui.palette import Palette, palette_of


@dataclass(frozen=True)
class Part:
    """A few words that stay or go together."""

    text: str
    """Safe to print."""
    style: Style
    """How it is drawn."""
    rank: int = 0
    """0 always stays; of the others the highest goes first."""


def width_of(text: str) -> int:
    """Cells that `text` takes on the screen."""
    return len(text) if text.isascii() else cell_len(text)


def clip(text: str, width: int) -> str:
    """`text` in at most `width` cells; what is cut ends in `…`."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip(" ") + "…"


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells, clipped or filled with spaces; `right` sets it to the right."""
    text = clip(text, width)
    blank = " " * (width - width_of(text))
    return blank + text if right else text + blank


def spread(left: Sequence[Part], right: Sequence[Part], width: int, gap: int = 2) -> list[Segment]:
    """Segments of exactly `width` cells: `left` from the left edge, `right` up to the right one.

    Parts with the highest rank go first until the rest fits with `gap` cells between the sides; what must
    stay and still does not fit is clipped, the left side before the right.
    """
    left, right = list(left), list(right)
    while _cells(left) + _cells(right) + (gap if left and right else 0) > width:
        rank = max((part.rank for part in (*left, *right)), default=0)
        if rank == 0:
            break
        left = [part for part in left if part.rank != rank]
        right = [part for part in right if part.rank != rank]
    ends = _clipped(right, width)
    room = width - sum(width_of(segment.text) for segment in ends)
    starts = _clipped(left, max(0, room - (gap if ends else 0)))
    middle = room - sum(width_of(segment.text) for segment in starts)
    return [*starts, Segment(" " * middle), *ends]


def _cells(parts: Sequence[Part]) -> int:
    return sum(width_of(part.text) for part in parts)


def _clipped(parts: Sequence[Part], width: int) -> list[Segment]:
    segments = []
    for part in parts:
        text = clip(part.text, width)
        width -= width_of(text)
        if text:
            segments.append(Segment(text, part.style))
        if text != part.text:
            break
    return segments


class Line(Widget):
    """A widget one line high. Subclasses write `parts`; `update` redraws only when the words changed."""

    DEFAULT_CSS = "Line { height: 1; width: 1fr; }"

    GAP = 2
    """Cells kept free between the two sides."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: tuple[Part, ...] | None = None

    def parts(self) -> tuple[list[Part], list[Part]]:
        """What stands on the left and on the right."""
        raise NotImplementedError

    def update(self) -> None:
        """Draw again, if there is anything new to draw: an idle screen sends nothing."""
        left, right = self.parts()
        if (drawn := (*left, *right)) != self._drawn:
            self._drawn = drawn
            self.refresh()

    @property
    def palette(self) -> Palette:
        """The colours of the theme in use."""
        return palette_of(self.app.theme)

    def render_line(self, y: int) -> Strip:
        """Textual's line API; one cell is kept free at both edges."""
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        left, right = self.parts()
        segments = spread(left, right, max(0, self.size.width - 2), self.GAP)
        return Strip([Segment(" "), *segments, Segment(" ")]).apply_style(self.rich_style)

    def to_text(self) -> str:
        """The line as it stands on the screen, without the blanks at its end."""
        return self.render_line(0).text.rstrip()
