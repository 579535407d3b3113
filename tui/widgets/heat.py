"""Grids of cells in sixteen shades: which rows and columns are shown, and how they are drawn.

Colour is never alone: a cell has its number or token in it, or, where there is no room, its level as a
hexadecimal digit. A row is runs of equal style, so neighbours of one level cost one colour change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style

from tensorshark.tui.palette import HEAT_LEVELS, Palette
from tensorshark.tui.widgets.line import fit
from tensorshark.tui.widgets.numbers import short

ABSENT = -1
"""The level of a value that is NaN or not there."""
BAR = "▐"
"""Stands left of the cell under the cursor, in amber."""
LOG_RANGE = 50.0
"""A scale is logarithmic when its largest value is more than this many times its smallest."""

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def level(value: float, lo: float, hi: float) -> int:
    """0 for `lo` and below, 15 for `hi` and above; ABSENT for NaN. All 0 when `lo` is `hi`."""
    if math.isnan(value):
        return ABSENT
    if hi <= lo:
        return 0
    share = min(1.0, max(0.0, (value - lo) / (hi - lo)))
    return min(HEAT_LEVELS - 1, int(share * HEAT_LEVELS))


@dataclass(frozen=True)
class Scale:
    """How numbers become levels."""

    lo: float
    """Shown as level 0."""
    hi: float
    """Shown as level 15 (`f`)."""
    log: bool = False
    """Equal factors, not equal differences, are equal steps."""

    @classmethod
    def of(cls, values: Floats) -> Scale:
        """From the smallest to the largest finite value; logarithmic when the range needs it."""
        known = values[np.isfinite(values)]
        if not known.size:
            return cls(0.0, 0.0)
        lo, hi = float(known.min()), float(known.max())
        positive = known[known > 0]
        if lo >= 0 and positive.size and hi > LOG_RANGE * float(positive.min()):
            return cls(float(positive.min()), hi, log=True)
        return cls(lo, hi)

    def levels(self, values: Floats) -> Ints:
        """The level of every value, in the same shape."""
        x, lo, hi = np.asarray(values, np.float64), self.lo, self.hi
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                x, lo, hi = np.log(x), math.log(lo), math.log(hi)
        steps = np.zeros_like(x)
        if hi > lo:
            with np.errstate(invalid="ignore"):
                steps = np.clip((x - lo) / (hi - lo), 0.0, 1.0) * HEAT_LEVELS
        absent = np.isnan(np.asarray(values, np.float64))
        return np.where(absent, ABSENT, np.minimum(np.nan_to_num(steps), HEAT_LEVELS - 1)).astype(np.int64)

    def words(self, unit: str) -> str:
        """What the shades mean: `L2: 1.200 … 24.8k, logarithmic`."""
        ends = (
            f"{short(self.lo, 5)} … {short(self.hi, 5)}" if self.hi > self.lo else f"all {short(self.lo, 5)}"
        )
        return f"{unit}: {ends}" + (", logarithmic" if self.log else "")


@dataclass(frozen=True)
class Window:
    """The part of a grid that fits, and where its cells are on the screen."""

    rows: tuple[int, ...]
    """Rows shown, top to bottom, as indices into the grid."""
    columns: range
    """Columns shown, left to right."""
    total: int
    """How many columns there are."""
    cell: int
    """Width of a cell."""
    gap: int
    """Empty cells of background left of every cell; the bar of the cursor stands there."""
    label: int
    """Width of the row labels."""

    @property
    def width(self) -> int:
        """Of a whole line, label included."""
        return self.label + len(self.columns) * (self.cell + self.gap)

    @property
    def digits(self) -> bool:
        """Whether cells are so narrow that they hold their level's digit instead of a number."""
        return self.cell < 4

    def hit(self, x: int, y: int) -> tuple[int, int] | None:
        """(row, column) of the cell at `x`, `y` from the top left of the label of the first row."""
        column = (x - self.label) // (self.cell + self.gap)
        if x < self.label or not 0 <= y < len(self.rows) or not 0 <= column < len(self.columns):
            return None
        return self.rows[y], self.columns[column]


def pick_rows(count: int, cursor: int, room: int) -> tuple[int, ...]:
    """At most `room` of `count` rows, evenly spread, with the first, the last and the cursor's among them.

    Which others are shown does not depend on the cursor, so that moving it repaints few rows.
    """
    if count <= room:
        return tuple(range(count))
    if room < 3:
        return (
            tuple(sorted({cursor, count - 1 if cursor == 0 else 0}))[:room] if room == 2 else (cursor,)[:room]
        )
    spread = [round(index * (count - 1) / (room - 1)) for index in range(room)]
    if cursor not in spread:
        nearest = min(range(1, room - 1), key=lambda index: abs(spread[index] - cursor))
        spread[nearest] = cursor
    return tuple(spread)


def pick_columns(
    count: int,
    cursor: int,
    room: int,
    *,
    widths: Sequence[int],
    gap: int = 0,
    first: int = 0,
    widest: int = 0,
) -> tuple[range, int]:
    """The columns that fit in `room` cells, and the width of each.

    The first of `widths` (widest first) at which all fit is used, and at the last a window of columns that
    starts at `first`, moved only as far as the cursor needs. Room left over widens cells up to `widest`.
    """
    if count <= 0 or room < widths[-1] + gap:
        return range(0), widths[-1]
    cell = next((width for width in widths if count * (width + gap) <= room), widths[-1])
    fits = min(count, room // (cell + gap))
    start = min(max(first, cursor - fits + 1), cursor, count - fits)
    spare = room // fits - gap
    return range(max(0, start), max(0, start) + fits), max(cell, min(spare, widest or cell))


def header(palette: Palette, window: Window, title: str, names: Sequence[str], cursor: int) -> list[Segment]:
    """The line above the rows: column names, the cursor's in bold; or ticks where names do not fit.

    `‹` and `›` say that there are more columns on that side.
    """
    dim, text = palette.style("dim"), palette.style("text")
    here = palette.style("accent", bold=True)
    left, right = window.columns.start > 0, window.columns.stop < window.total
    line = [Segment(title.rjust(window.label - 1) + ("‹" if left else " "), dim)]
    if window.cell + window.gap < 4:
        ticks, at = _ticks(window, cursor)
        line += [Segment(ticks[:at], dim), Segment(ticks[at : at + 1], here), Segment(ticks[at + 1 :], dim)]
    else:
        for column in window.columns:
            line.append(Segment(" " + title_in(names[column], window), here if column == cursor else text))
    return [*line, Segment("›", dim)] if right else line


def title_in(name: str, window: Window) -> str:
    """A column's name in its width; where that is a few cells, letters are worth more than a `…`."""
    width = window.cell - (window.gap == 0)
    return fit(name, width) if width > 6 else set_cell_size(name, width)


def row(
    palette: Palette,
    window: Window,
    label: str,
    levels: Sequence[int],
    texts: Sequence[str],
    *,
    here: bool,
    cursor: int,
) -> list[Segment]:
    """One line of cells. `levels` and `texts` are those of the columns shown, in their order.

    `here` says that the cursor is in this row, `cursor` in which column of the grid.
    """
    tone = palette.style("accent", bold=True) if here else palette.style("dim")
    line = [Segment(label.rjust(window.label - 1) + " ", tone)]
    grounds = palette.heat
    for column, step, text in zip(window.columns, levels, texts, strict=True):
        ground = grounds[step] if step >= 0 else palette.style("faint")
        at_cursor = here and column == cursor
        line += _cell(palette, window, text, ground, at_cursor)
    return line


def numbers(window: Window, values: Sequence[float], levels: Sequence[int]) -> list[str]:
    """The text of each cell: its number as far as it fits, else the digit of its level."""
    if window.digits:
        return ["·" if step < 0 else f"{step:x}" for step in levels]
    room = min(5, window.cell - 1 + window.gap)
    return [short(value, room).rjust(room) for value in values]


def grid(
    palette: Palette,
    window: Window,
    title: str,
    labels: Sequence[str],
    names: Sequence[str],
    values: Floats,
    scale: Scale,
    cursor: tuple[int, int],
) -> list[list[Segment]]:
    """Header and rows of a grid of numbers (row, column) with a cursor at (row, column)."""
    lines = [header(palette, window, title, names, cursor[1])]
    shown = slice(window.columns.start, window.columns.stop)
    for index in window.rows:
        cells = values[index, shown]
        levels = scale.levels(cells).tolist()
        texts = numbers(window, cells.tolist(), levels)
        here = index == cursor[0]
        lines.append(row(palette, window, labels[index], levels, texts, here=here, cursor=cursor[1]))
    return lines


def legend(palette: Palette, scale: Scale, indent: int, unit: str) -> list[Segment]:
    """The sixteen levels as they are drawn, and what the ends mean."""
    ramp = [Segment(f"{step:x}", ground) for step, ground in enumerate(palette.heat)]
    return [Segment(" " * indent), *ramp, Segment("  " + scale.words(unit), palette.style("dim"))]


def _cell(palette: Palette, window: Window, text: str, ground: Style, at_cursor: bool) -> list[Segment]:
    amber = palette.style("amber", bold=True)
    style = ground + Style(bold=True) if at_cursor else ground
    if window.gap:
        edge = Segment(BAR if at_cursor else " ", amber)
        return [edge, Segment(fit(text, window.cell), style)]
    if window.cell == 1:
        return [
            Segment(fit(text, 1), palette.style("amber", bold=True, reverse=True) if at_cursor else style)
        ]
    body = fit(text, window.cell - 1)
    if not at_cursor:
        return [Segment(" " + body, style)]
    return [Segment(BAR, ground + Style(color=amber.color, bold=True)), Segment(body, style)]


def _ticks(window: Window, cursor: int) -> tuple[str, int]:
    """Positions over narrow columns, every few cells, and `▾` over the cursor's; where that one is."""
    step = window.cell + window.gap
    cells = [" "] * (len(window.columns) * step)
    free = 0
    for index, column in enumerate(window.columns):
        mark = str(column)
        at = index * step + (window.cell > 1)
        if at >= free and column % 5 == 0 and at + len(mark) <= len(cells):
            cells[at : at + len(mark)] = mark
            free = at + len(mark) + 2
    at = (
        (cursor - window.columns.start) * step + (window.cell > 1) if cursor in window.columns else len(cells)
    )
    if at < len(cells):
        cells[at] = "▾"
    return "".join(cells), at
