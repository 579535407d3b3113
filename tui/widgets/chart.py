"""Line charts: plotext draws the curves in braille, we draw the axes, so that a click finds its value.

Drawing costs several milliseconds, so panes do it in a thread after a key was answered. The cursor's line
and the colours are laid over the finished canvas: moving along a chart, or a new theme, redraws no curve.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment

from tensorshark.tui.palette import Palette
from tensorshark.tui.widgets.heat import LOG_RANGE
from tensorshark.tui.widgets.line import fit
from tensorshark.tui.widgets.numbers import short

CURSOR = "│"
"""The line at the cursor, in amber."""
POINT = "●"
"""Where a curve meets that line, in the curve's colour."""
LEFT = 7
"""Width of the labels left of the canvas, axis included."""
NAMES_FROM = 60
"""The narrowest chart that has room for its curves' names."""

_ANSI = re.compile(r"\x1b\[([0-9;]*)m")
_FIRST_CODE = 100
"""Curve n is drawn by plotext in the 8-bit colour 100 + n, which says whose character it is."""
_plotext = threading.Lock()
"""plotext has one global figure."""

Cell = tuple[str, int]
"""A character of the canvas and the index of its curve, -1 for none."""


@dataclass(frozen=True)
class Series:
    """One curve."""

    name: str
    y: tuple[float, ...]
    """One value per x; NaN where there is none, which leaves a gap."""
    color: str
    """A colour name of the palette."""


@dataclass(frozen=True)
class Axis:
    """The vertical axis."""

    lo: float
    hi: float
    log: bool = False

    @classmethod
    def of(cls, series: Sequence[Series]) -> Axis:
        """From zero; or, where the range needs it, logarithmic between the extremes."""
        known = [value for curve in series for value in curve.y if math.isfinite(value)]
        positive = [value for value in known if value > 0]
        lo, hi = min(known, default=0.0), max(known, default=1.0)
        if lo >= 0 and positive and hi > LOG_RANGE * min(positive):
            return cls(min(positive), hi, log=True)
        lo, hi = min(0.0, lo), max(0.0, hi)
        return cls(lo, hi if hi > lo else 1.0)

    def at(self, value: float) -> float:
        """0 at the bottom to 1 at the top; NaN for what cannot be drawn."""
        if not math.isfinite(value):
            return math.nan
        if not self.log:
            return (value - self.lo) / (self.hi - self.lo)
        return math.log(max(value, self.lo) / self.lo) / math.log(self.hi / self.lo)

    def ticks(self, height: int) -> dict[int, str]:
        """Row (0 at the top) -> label: round numbers, no two on neighbouring rows."""
        found: dict[int, str] = {}
        for value in self._round_numbers(max(2, height // 3)):
            share = self.at(value)
            line = round((1 - share) * (height - 1))
            inside = self.lo * (1 - 1e-9) <= value <= self.hi * (1 + 1e-9)
            if inside and not {line - 1, line, line + 1} & found.keys():
                found[line] = _label(value)
        return found

    def _round_numbers(self, wanted: int) -> list[float]:
        """Candidates for ticks, the roundest first."""
        if self.log:
            decades = range(math.floor(math.log10(self.lo)), math.ceil(math.log10(self.hi)) + 1)
            return [factor * 10.0**decade for factor in (1, 3, 2, 5) for decade in decades]
        span = (self.hi - self.lo) / wanted
        step = next(m * 10.0**e for e in range(-46, 40) for m in (1, 2, 5) if m * 10.0**e >= span)
        first, last = math.ceil(self.lo / step), math.floor(self.hi / step + 1e-9)
        return [step * index for index in range(first, last + 1)]


@dataclass(frozen=True)
class Chart:
    """A finished canvas and where its axes are."""

    axis: Axis
    x: tuple[int, ...]
    """What the curves are over: layers or positions, ascending."""
    width: int
    """Of the canvas, without labels."""
    height: int
    """Of the canvas, without the line of x labels."""
    cells: tuple[tuple[Cell, ...], ...]
    """(row, column)"""
    series: tuple[Series, ...]
    named: bool
    """Whether there is room to the right for the curves' names."""

    def column(self, x: int) -> int:
        """The canvas column of `x`."""
        lo, hi = self.x[0], self.x[-1]
        return round((x - lo) / (hi - lo) * (self.width - 1)) if hi > lo else 0

    def row(self, value: float) -> int:
        """The canvas row of a finite value."""
        return round((1 - self.axis.at(value)) * (self.height - 1))

    def hit(self, column: int) -> int | None:
        """The x nearest to a column of the pane; None left and right of the canvas."""
        inside = column - LEFT
        if not 0 <= inside < self.width or not self.x:
            return None
        return min(self.x, key=lambda x: abs(self.column(x) - inside))


def plot(series: Sequence[Series], x: Sequence[int], width: int, height: int) -> Chart:
    """Draw the curves; later ones lie on top. `width` and `height` include the labels and names."""
    named = width >= NAMES_FROM
    right = 1 + max((cell_len(curve.name) for curve in series), default=0) if named else 0
    inner, rows = max(2, width - LEFT - right), max(1, height - 1)
    axis = Axis.of(series)
    with _plotext:
        canvas = _canvas(series, x, axis, inner, rows)
    return Chart(axis, tuple(x), inner, rows, _cells(canvas, inner, rows), tuple(series), named)


def draw(chart: Chart, palette: Palette, cursor: int, title: str, bold: str = "") -> list[list[Segment]]:
    """The chart's lines and the one of x labels, top first; the curve named `bold` stands out."""
    dim = palette.style("dim")
    at = chart.column(cursor) if cursor in chart.x else -1
    ticks, names = chart.axis.ticks(chart.height), _names(chart)
    points = _points(chart, cursor, bold) if at >= 0 else {}
    lines = []
    for index, cells in enumerate(chart.cells):
        line = [Segment(ticks.get(index, "").rjust(LEFT - 2) + (" ┤" if index in ticks else " │"), dim)]
        line += _row(chart, palette, cells, at, points.get(index, -1), bold)
        if index in names:
            curve = chart.series[names[index]]
            line.append(Segment(" " + curve.name, palette.style(curve.color, bold=curve.name == bold)))
        lines.append(line)
    return [*lines, _x_axis(chart, palette, cursor, title)]


def _label(value: float) -> str:
    """A tick's label without needless zeros: `0.5`, `20`, `10k`."""
    plain = f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:.4g}"
    return plain if len(plain) <= LEFT - 2 else short(value, LEFT - 2)


def _canvas(series: Sequence[Series], x: Sequence[int], axis: Axis, width: int, height: int) -> str:
    """What plotext prints: braille in colours that name their curves."""
    import plotext

    plotext.clear_figure()
    plotext.limit_size(False, False)  # else never larger than the terminal, which a thread asks for
    plotext.plotsize(width, height)
    plotext.frame(False)
    plotext.xfrequency(0)
    plotext.yfrequency(0)
    first, last = (x[0], x[-1]) if x else (0, 1)
    plotext.xlim(first, last if last > first else first + 1)
    plotext.ylim(0.0, 1.0)
    for index, curve in enumerate(series):
        for xs, ys in _pieces(x, [axis.at(value) for value in curve.y]):
            plotext.plot(xs, ys, marker="braille", color=_FIRST_CODE + index)
    return str(plotext.build())


def _pieces(x: Sequence[int], y: Sequence[float]) -> list[tuple[list[int], list[float]]]:
    """The curve cut at its gaps, so that plotext does not bridge them."""
    pieces: list[tuple[list[int], list[float]]] = []
    fresh = True
    for place, value in zip(x, y, strict=True):
        if math.isnan(value):
            fresh = True
            continue
        if fresh:
            pieces.append(([], []))
        pieces[-1][0].append(place)
        pieces[-1][1].append(value)
        fresh = False
    return pieces


def _cells(canvas: str, width: int, height: int) -> tuple[tuple[Cell, ...], ...]:
    """The printed canvas as characters with owners, exactly (height, width)."""
    rows = []
    for line in canvas.split("\n")[:height]:
        cells: list[Cell] = []
        owner = -1
        for index, part in enumerate(_ANSI.split(line)):  # text, code, text, code, ..., text
            if index % 2:
                owner = int(part[5:]) - _FIRST_CODE if part.startswith("38;5;") else -1
            else:
                cells += [(char, owner) for char in part]
        rows.append(tuple((cells + [(" ", -1)] * width)[:width]))
    rows += [((" ", -1),) * width] * (height - len(rows))
    return tuple(rows)


def _row(
    chart: Chart, palette: Palette, cells: Sequence[Cell], at: int, point: int, bold: str
) -> list[Segment]:
    """One canvas row, the cursor's column `at` laid over it; `point` is the curve that crosses it here."""
    line = []
    for column, (char, owner) in enumerate(cells):
        if column == at:
            char, owner = (CURSOR, -1) if point < 0 else (POINT, point)
        color = chart.series[owner].color if owner >= 0 else "amber" if column == at else "dim"
        heavy = owner >= 0 and chart.series[owner].name == bold
        line.append(Segment(char, palette.style(color, bold=heavy)))
    return line


def _points(chart: Chart, cursor: int, bold: str) -> dict[int, int]:
    """Row -> index of the curve that crosses the cursor's line there; the bold one hides others."""
    place = chart.x.index(cursor)
    order = sorted(range(len(chart.series)), key=lambda index: chart.series[index].name == bold)
    values = [(chart.series[index].y[place], index) for index in order]
    return {chart.row(value): index for value, index in values if math.isfinite(value)}


def _names(chart: Chart) -> dict[int, int]:
    """Row -> index of the curve whose name is written at its right end; names move apart where they meet."""
    if not chart.named:
        return {}
    finite = [[value for value in curve.y if math.isfinite(value)] for curve in chart.series]
    ends = sorted((chart.row(values[-1]), index) for index, values in enumerate(finite) if values)
    taken: dict[int, int] = {}
    for wanted, index in ends:
        near = sorted(range(chart.height), key=lambda line: abs(line - wanted))
        if free := [line for line in near if line not in taken]:
            taken[free[0]] = index
    return taken


def _x_axis(chart: Chart, palette: Palette, cursor: int, title: str) -> list[Segment]:
    """Labels under the canvas: the cursor's first, then the ends', then every fifth that has room."""
    cells = [" "] * chart.width
    spans: dict[int, range] = {}
    inside = [x for x in chart.x[1:-1] if x % 5 == 0]
    for x in [x for x in [cursor, *chart.x[:1], *chart.x[-1:], *inside] if x in chart.x]:
        text = str(x)
        start = max(0, min(chart.column(x), chart.width - len(text)))
        around = cells[max(0, start - 2) : start + len(text) + 2]
        if x not in spans and all(cell == " " for cell in around):
            cells[start : start + len(text)] = text
            spans[x] = range(start, start + len(text))
    line, dim = "".join(cells), palette.style("dim")
    here = spans.get(cursor, range(0))
    return [
        Segment(fit(f" {title}", LEFT), dim),
        Segment(line[: here.start], dim),
        Segment(line[here.start : here.stop], palette.style("amber", bold=True)),
        Segment(line[here.stop :], dim),
    ]
