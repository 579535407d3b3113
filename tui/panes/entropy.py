"""How widely each head looks: attention entropy by layer and head at one token, and the sink behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.segment import Segment

from tensorshark.traces.text import token_text
from tensorshark.tui.panes.sheet import Line, Sheet
from tensorshark.tui.widgets.heat import Floats, Scale, Window, grid, legend, pick_columns, pick_rows
from tensorshark.tui.widgets.line import Part, spread
from tensorshark.tui.widgets.numbers import figure, short
from tensorshark.tui.widgets.sparkline import meter

KEYS = {"entropy": "attn.entropy", "without first": "attn.entropy_rest", "sink": "attn.sink"}
"""View -> statistic."""
UNITS = {"entropy": "nats", "without first": "nats", "sink": ""}
STRIP_FROM = 16
"""Rows from which the cursor's head is also shown over all tokens."""
MEAN = 18
"""Cells for the mean over heads, right of the grid."""


class Entropy(Sheet):
    """Attention entropy by layer and head, the same without the first token, and the first token's share."""

    TITLE = "Entropy"
    KEY = "2"
    VIEWS = tuple(KEYS)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._window: Window | None = None
        self._strip: tuple[int, Window] | None = None
        """The row of the strip's numbers, and its window."""

    def lack(self) -> str:
        """Said when attention was not summarised."""
        if all(key in self.trace.stats for key in KEYS.values()):
            return ""
        return f"Attention was not summarised when this trace was captured. To have it:\n{self.again('')}"

    def captured_layers(self) -> Sequence[int]:
        """Those whose attention was summarised."""
        return self.trace.stat_layers(KEYS[self.view])

    def lines(self, width: int, height: int) -> list[Line]:
        """The cursor's head in words, the grid, and that head over all tokens."""
        lines = [self._summary(width)]
        if height >= STRIP_FROM:
            lines += [self._bound(width), []]
        strip = self._over_tokens(width) if height >= STRIP_FROM else []
        lines += self._grid(width, height - len(lines) - len(strip), len(lines))
        self._strip = (len(lines) + len(strip) - 1, self._strip[1]) if strip and self._strip else None
        return lines + strip

    def horizontal(self, step: int) -> None:
        """To the next head."""
        head = min(max(0, self.cursor.head + step), self._values().shape[1] - 1)
        if head != self.cursor.head:
            self.move(head=head)

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """A click in the grid chooses layer and head, in the strip a token."""
        if self._strip and y in (self._strip[0] - 1, self._strip[0]):
            cell = self._strip[1].hit(x, 0)
            return None if cell is None else {"token": cell[1]}
        cell = self._window.hit(x, y - self._top) if self._window else None
        return None if cell is None else {"layer": self.captured_layers()[cell[0]], "head": cell[1]}

    # The numbers ---------------------------------------------------------------------------------------

    def _values(self) -> Floats:
        return self.trace.stats[KEYS[self.view]]  # (layer, head, pos)

    def _scale(self) -> Scale:
        """From zero to the largest of the trace, so that shades mean the same at every token."""
        if self.view == "sink":
            return Scale(0.0, 1.0)
        values = self._values()
        known = values[np.isfinite(values)]
        return Scale(0.0, float(known.max(initial=0.0)))

    def _here(self) -> int:
        """The row of the cursor's layer; -1 where its attention was not summarised."""
        layers = self.captured_layers()
        return list(layers).index(self.cursor.layer) if self.cursor.layer in layers else -1

    # The words -----------------------------------------------------------------------------------------

    def _summary(self, width: int) -> Line:
        """The three numbers of the cursor's head, the one on show in front colours."""
        style, row = self.palette.style, self._here()
        parts = [Part(f" layer {self.cursor.layer} head {self.cursor.head}", style("text"))]
        if row < 0 or self.cursor.head >= self._values().shape[1]:
            return spread([*parts, Part("   no attention was summarised here", style("dim"))], [], width - 1)
        for view, key in KEYS.items():
            value = float(self.trace.stats[key][row, self.cursor.head, self.cursor.token])
            on = view == self.view
            parts.append(Part(f"   {view} ", style("accent" if on else "dim", bold=on), 0 if on else 2))
            tone = "bad" if math.isnan(value) else "text"
            parts.append(
                Part(f"{figure(value)} {UNITS[view]}".rstrip(), style(tone, bold=on), 0 if on else 2)
            )
        return spread(parts, [Part("v next view", style("dim"), 3)], width - 1)

    def _bound(self, width: int) -> Line:
        """What the numbers can be at all at this token."""
        keys, name = self.cursor.token + 1, token_text(self.trace.tokens[self.cursor.token], 24)
        words = f" token {self.cursor.token} “{name}” "
        if keys == 1:
            words += "can only look at itself: its entropy is 0 and its share 1 by definition"
        else:
            words += f"looks at {keys} tokens: at most {figure(math.log(keys))} nats"
            words += f", {figure(math.log(keys - 1))} without the first"
        return spread([Part(words, self.palette.style("dim"))], [], width - 1)

    # The pictures --------------------------------------------------------------------------------------

    def _grid(self, width: int, room: int, top: int) -> list[Line]:
        """Layer by head, the last layer on top, with the mean over heads at the right."""
        values, layers, scale = self._values()[:, :, self.cursor.token], self.captured_layers(), self._scale()
        heads = values.shape[1]
        explained = room >= 8
        rows = pick_rows(len(layers), max(0, self._here()), room - 1 - explained)
        mean = MEAN if width - 8 - MEAN >= 5 * heads else 0
        first = self._window.columns.start if self._window else 0
        columns, cell = pick_columns(
            heads,
            min(self.cursor.head, heads - 1),
            width - 8 - mean,
            widths=(7, 6, 5, 2),
            first=first,
            widest=8,
        )
        window = self._window = Window(rows[::-1], columns, heads, cell, gap=0, label=7)
        self._top = top + 1
        labels, names = [str(layer) for layer in layers], [f"h{head}" for head in range(heads)]
        cursor = (self._here(), self.cursor.head)
        lines = grid(self.palette, window, "layer", labels, names, values, scale, cursor)
        if mean:
            self._means(lines, window, values, scale)
        if explained:
            unit = f"{self.view} in {UNITS[self.view]}" if UNITS[self.view] else f"{self.view}, share"
            lines.append(legend(self.palette, scale, 8, unit))
        return lines

    def _means(self, lines: list[Line], window: Window, values: Floats, scale: Scale) -> None:
        """Add the mean over heads to the lines of a grid (header first)."""
        dim, blue = self.palette.style("dim"), self.palette.style("blue")
        lines[0].append(Segment("  mean", dim))
        for line, row in zip(lines[1:], window.rows, strict=True):
            mean = float(values[row].mean())
            line.append(Segment(f"  {short(mean, 5):<5} ", dim))
            line.append(Segment(meter(mean / scale.hi if scale.hi else 0.0, MEAN - 8), blue))

    def _over_tokens(self, width: int) -> list[Line]:
        """The cursor's head over the tokens: a blank line, the tokens, its numbers."""
        row = self._here()
        if row < 0 or self.cursor.head >= self._values().shape[1]:
            return []
        values = self._values()[row, self.cursor.head][None, :]  # (1, pos)
        first = self._strip[1].columns.start if self._strip else 0
        columns, cell = pick_columns(
            values.shape[1], self.cursor.token, width - 8, widths=(9, 7, 6), first=first, widest=10
        )
        window = Window((0,), columns, values.shape[1], cell, gap=0, label=7)
        self._strip = (0, window)
        names = [token_text(token) for token in self.trace.tokens]
        cursor = (0, self.cursor.token)
        label = f"h{self.cursor.head}"
        return [[], *grid(self.palette, window, "", [label], names, values, self._scale(), cursor)]
