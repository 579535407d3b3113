"""The numbers themselves: a tensor's row at the cursor summed up, its largest dimensions, and all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType

from tensorshark.traces.sites import SITES
from tensorshark.traces.text import token_text
from tensorshark.tui.panes.sheet import Line, Sheet
from tensorshark.tui.panes.tensor_row import Numbers, read, usual
from tensorshark.tui.widgets.heat import Scale
from tensorshark.tui.widgets.line import Part, fit, spread
from tensorshark.tui.widgets.numbers import figure, short
from tensorshark.tui.widgets.sparkline import bars, meter

MARK = "▲"
"""Stands beside a massive activation."""
PICTURES_FROM = 18
"""Rows from which histogram and largest dimensions are drawn."""
PICTURES = 7
"""Rows that they take."""
CELL = 8
"""Width of a raw value with its mark."""
PER_ROW = (20, 16, 10, 8, 5, 4, 2, 1)
"""Raw values in a row: the first of these that fits."""


class Values(Sheet):
    """The raw numbers at the cursor."""

    TITLE = "Values"
    KEY = "5"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown,ctrl+f", "scroll_rows(1)", "Page down", show=False),
        Binding("pageup,ctrl+b", "scroll_rows(-1)", "Page up", show=False),
        Binding("home", "scroll_ends(0)", "First", show=False),
        Binding("end", "scroll_ends(1)", "Last", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._array: npt.NDArray[Any] | None = None
        self._median = 0.0
        """Of the magnitudes in `_array`."""
        self._array_of: tuple[str, str] = ("", "")
        """Trace and tensor of `_array`."""
        self._problem = ""
        self._last: dict[tuple[str, int, int], list[Line]] = {}
        """The rows drawn last, by trace and size."""
        self._first = 0
        """The first raw row shown."""
        self._page = 1
        """Raw rows that fit."""
        self._total = 0
        """Raw rows that there are."""

    def lack(self) -> str:
        """Said when the cursor's tensor was not captured."""
        site = self.trace.sites.get(self.cursor.site)
        name = (
            SITES[self.cursor.site].at(self.cursor.layer) if self.cursor.site in SITES else self.cursor.site
        )
        if site is not None and self.cursor.layer in site.layers and name in self.trace.tensor_names:
            return ""
        flag = "--patterns" if self.cursor.site == "pattern" else f"--sites {self.cursor.site}"
        return (
            f"{self.cursor.site} of layer {self.cursor.layer} was not captured. s and [ ] go to what was. "
            f"To have it:\n{self.again(flag)}"
        )

    def lines(self, width: int, height: int) -> list[Line]:
        """Identity, statistics, largest dimensions, pictures where there is room, and the raw row."""
        name = SITES[self.cursor.site].at(self.cursor.layer)
        trace = self.trace
        self.fetch((trace.id, name), lambda: ((trace.id, name), *read(trace, name)))
        if self._problem:
            return self.words(self._problem, width, "bad")
        if self._array is None or self._array_of != (trace.id, name):
            # The tensor before it stays, under its own name, until this one is read: no flicker.
            before = self._last.get((trace.id, width, height))
            return before or self.words(f"Reading {name} …", width)
        numbers = Numbers.of(self._row(), self._median)
        lines = [self._identity(width, name), self._statistics(width, numbers)]
        if height >= PICTURES_FROM:
            lines += [[], *self._pictures(width, numbers), []]
            lines[-1] = self._shown(width, height - len(lines), numbers)
        else:
            lines.append(self._largest(width, numbers))
        lines += self._raw(width, height - len(lines), numbers)
        self._last = {(trace.id, width, height): lines}
        return lines

    def brought(self, value: Any) -> None:
        """The tensor, or why there is none."""
        self._problem = str(value) if isinstance(value, Exception) else ""
        if not self._problem:
            self._array_of, self._array, self._median = value

    def vertical(self, step: int) -> None:
        """Scroll the raw values by a row."""
        self._scroll(self._first - step)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls three rows."""
        event.stop()
        self._scroll(self._first - 3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls three rows."""
        event.stop()
        self._scroll(self._first + 3)

    def action_scroll_rows(self, pages: int) -> None:
        """A page of raw values down (1) or up (-1)."""
        self._scroll(self._first + pages * max(1, self._page - 1))

    def action_scroll_ends(self, end: int) -> None:
        """To the first raw values (0) or the last (1)."""
        self._scroll(self._total if end else 0)

    def _scroll(self, first: int) -> None:
        first = max(0, min(first, self._total - self._page))
        if first != self._first:
            self._first = first
            self.redraw()

    def _row(self) -> npt.NDArray[Any]:
        """What the cursor is on: (d_model,); of an attention pattern the keys that the token may see."""
        assert self._array is not None
        array, token = self._array, min(self.cursor.token, self._array.shape[-2] - 1)
        if array.ndim == 3:  # head, query, key
            array = array[min(self.cursor.head, array.shape[0] - 1), :, : token + 1]
        return np.asarray(array[token])

    # The words -----------------------------------------------------------------------------------------

    def _identity(self, width: int, name: str) -> Line:
        """Which tensor, which row of it, and how it is known to be whole."""
        assert self._array is not None
        style, manifest = self.palette.style, self.trace.manifest
        token = token_text(self.trace.tokens[self.cursor.token], 16)
        head = f"head {self.cursor.head}, " if self._array.ndim == 3 else ""
        stored = next((tensor for tensor in manifest.tensors if tensor.name == name), None)
        derived = next((tensor for tensor in manifest.derived if tensor.name == name), None)
        known = stored or derived
        assert known is not None  # `lack` looked
        shape = "(" + ", ".join(str(size) for size in known.shape) + ")"
        left = [
            Part(f" {name}", style("accent", bold=True)),
            Part(f"  {head}token {self.cursor.token} “{token}”", style("text"), 3),
            Part(f"  {shape} {known.dtype}", style("dim"), 1),
            Part("  stored" if stored else "  rebuilt from its parts", style("dim"), 4),
        ]
        # What is rebuilt has no bytes of its own on disk; its parts were checked.
        shown = stored.sha256[:8] if stored else "of every part"
        right = [Part("sha256 ok ", style("good"), 2), Part(shown, style("dim"), 2)]
        return spread(left, right, width - 1)

    def _statistics(self, width: int, numbers: Numbers) -> Line:
        """Norm and spread of the row; what is not finite is counted and left out."""
        style, x = self.palette.style, numbers.finite
        named: list[tuple[str, float, int]] = []
        if x.size:
            named = [
                ("‖x‖", float(np.linalg.norm(x)), 0),
                ("min", float(x.min()), 1),
                ("max", float(x.max()), 1),
            ]
            named += [("mean", float(x.mean()), 3), ("std", float(x.std()), 4)]
        parts: list[Part] = []
        for word, value, rank in named:
            gap = "   " if parts else " "
            parts.append(Part(f"{gap}{word} ", style("dim"), rank))
            parts.append(Part(figure(value), style("text", bold=not rank), rank))
        for word, count in (
            ("nan", int(np.isnan(numbers.row).sum())),
            ("inf", int(np.isinf(numbers.row).sum())),
        ):
            rank = 0 if count else 2
            parts.append(Part(f"   {word} ", style("bad" if count else "dim", bold=bool(count)), rank))
            parts.append(Part(f"{count:,}", style("bad" if count else "text", bold=bool(count)), rank))
        return spread(parts, [], width - 1)

    def _largest(self, width: int, numbers: Numbers) -> Line:
        """The largest dimensions in one line."""
        style = self.palette.style
        parts = [Part(" largest  ", style("dim"))]
        for rank, dim in enumerate(numbers.order[:12].tolist()):
            massive = dim in numbers.massive
            parts.append(
                Part(f"{MARK if massive else ''}{dim} ", style("amber" if massive else "dim"), rank + 1)
            )
            parts.append(Part(f"{figure(float(numbers.row[dim]))}   ", style("text", bold=massive), rank + 1))
        return spread(parts, [], width - 1)

    # The pictures --------------------------------------------------------------------------------------

    def _pictures(self, width: int, numbers: Numbers) -> list[Line]:
        """How the values are spread, and the largest of them, side by side."""
        side = min(46, width // 2)
        left = self._histogram(width - side - 4, numbers)
        right = self._ranking(side, numbers)
        gap = Segment("   ")
        return [[*a, gap, *b] for a, b in zip(left, right, strict=True)]

    def _histogram(self, width: int, numbers: Numbers) -> list[Line]:
        """Counts of finite values between the smallest and the largest, the counts' roots as heights."""
        style, x = self.palette.style, numbers.finite
        rows = PICTURES - 2
        if not x.size:
            return [[Segment(fit(" no finite value", width), style("bad"))]] + [[Segment(" " * width)]] * (
                rows + 1
            )
        edge = 3 * usual(x)
        lo, hi = max(float(x.min()), -edge), min(float(x.max()), edge)
        beyond = int(((x < lo) | (x > hi)).sum())
        counts = np.histogram(x, bins=max(1, width - 2), range=(lo, hi if hi > lo else lo + 1.0))[0]
        heights = [float(count) if count else None for count in np.sqrt(counts)]
        drawn = bars([0.0 if height is None else height for height in heights], width - 2, rows)
        blank = [" " if height is None else "" for height in heights]
        drawn[-1] = "".join(empty or char for empty, char in zip(blank, drawn[-1], strict=True))
        ends = figure(lo) + figure(hi).rjust(max(1, width - 2 - len(figure(lo))))
        title = f" {x.size:,} values, √count" + (f", {beyond} beyond" if beyond else "")
        return [
            [Segment(fit(title, width), style("dim"))],
            *([Segment(" " + row + " ", style("blue"))] for row in drawn),
            [Segment(fit(" " + ends, width), style("dim"))],
        ]

    def _ranking(self, width: int, numbers: Numbers) -> list[Line]:
        """The largest dimensions with bars; massive ones are marked."""
        style, lines = self.palette.style, []
        top = list(numbers.order[: PICTURES - 1].tolist())
        most = abs(float(numbers.row[top[0]])) if top else 0.0
        title = f"  largest   {MARK} massive activation"
        lines.append([Segment(fit(title, width), style("dim"))])
        for dim in top:
            value, massive = float(numbers.row[dim]), dim in numbers.massive
            share = abs(value) / most if np.isfinite(most) and most else float(not np.isfinite(value))
            mark = Segment(MARK if massive else " ", style("amber", bold=True))
            words = Segment(f" {dim:>5}  {figure(value):>10}  ", style("text", bold=massive))
            lines.append([mark, words, Segment(meter(share, max(0, width - 20)), style("violet"))])
        return lines + [[Segment(" " * width)]] * (PICTURES - len(lines))

    def _shown(self, width: int, room: int, numbers: Numbers) -> Line:
        """Which dimensions the dump below shows."""
        per, size = _per_row(width), numbers.row.size
        total = -(-size // per)
        first = max(0, min(self._first, total - room))
        if total <= room:
            return []
        words = (
            f" dimensions {first * per:,}–{min(size, (first + room) * per) - 1:,} of {size:,}   ↑ ↓ scroll"
        )
        return spread([Part(words, self.palette.style("dim"))], [], width - 1)

    def _raw(self, width: int, room: int, numbers: Numbers) -> list[Line]:
        """The row as a dump: the first dimension of each line, then the values, shaded by magnitude."""
        per, size = _per_row(width), numbers.row.size
        self._total, self._page = -(-size // per), room
        self._first = max(0, min(self._first, self._total - room))
        levels = Scale(0.0, usual(numbers.finite)).levels(np.abs(numbers.row)).tolist()
        digits = _digits(numbers.finite)
        starts = range(self._first * per, min(size, (self._first + max(0, room)) * per), per)
        return [self._raw_line(start, min(per, size - start), levels, digits, numbers) for start in starts]

    def _raw_line(self, start: int, count: int, levels: Sequence[int], digits: int, numbers: Numbers) -> Line:
        style = self.palette.style
        line = [Segment(f"{start:>6} ", style("dim"))]
        for dim in range(start, start + count):
            value, massive = float(numbers.row[dim]), dim in numbers.massive
            ground = self.palette.heat[levels[dim]] if levels[dim] >= 0 else style("bad", bold=True)
            if massive:
                ground += style("amber", bold=True)
            line.append(Segment((MARK if massive else " ") + _written(value, digits), ground))
        return line


def _per_row(width: int) -> int:
    """Raw values in a line: a round number of them."""
    return next(count for count in PER_ROW if count * CELL + 7 <= width or count == 1)


def _digits(finite: npt.NDArray[np.float64]) -> int:
    """Decimals at which nearly all values fit a cell, so that their points stand below each other."""
    edge = usual(finite)
    return next((digits for digits in (4, 3, 2, 1) if len(f"{-edge:.{digits}f}") <= CELL - 1), 0)


def _written(value: float, digits: int) -> str:
    """A raw value in a cell; the few that are too large or too small for the others' decimals stand out."""
    plain = f"{value:.{digits}f}"
    fits = len(plain) <= CELL - 1 and (value == 0 or abs(value) >= 0.5 * 10.0**-digits)
    return (plain if fits else short(value, CELL - 1)).rjust(CELL - 1)
