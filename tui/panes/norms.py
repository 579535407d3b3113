"""The L2 norm of every site: over layers at one token, over tokens at one layer, or both as a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorshark.forensics.norms import growth
from tensorshark.traces.sites import DEFAULT_SITES
from tensorshark.traces.text import token_text
from tensorshark.tui.panes.sheet import Line, Sheet
from tensorshark.tui.widgets.chart import Chart, Series, draw, plot
from tensorshark.tui.widgets.heat import Floats, Scale, Window, grid, legend, pick_columns, pick_rows
from tensorshark.tui.widgets.line import Part, spread
from tensorshark.tui.widgets.numbers import figure

COLORS = {"resid_post": "accent", "resid_pre": "blue", "attn_out": "violet", "mlp_out": "good"}
"""Site -> palette colour."""
ROOMY = 14
"""Rows from which there is room for a line of words more."""


class Norms(Sheet):
    """How large each site is, by layer and token."""

    TITLE = "Norms"
    KEY = "1"
    VIEWS = ("by layer", "by token", "grid")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._chart: Chart | None = None
        self._chart_top = 0
        self._window: Window | None = None
        self._window_top = 0

    def lack(self) -> str:
        """Said when no norm was captured."""
        if self._sites():
            return ""
        flags = f"--sites {','.join(DEFAULT_SITES)}"
        return f"No norms were captured of this trace. To have them:\n{self.again(flags)}"

    def lines(self, width: int, height: int) -> list[Line]:
        """The numbers at the cursor in words, then the chart or the grid."""
        lines = [self._summary(width)]
        if height >= ROOMY:
            lines += [self._growth(width), []]
        room = height - len(lines)
        if self.view == "grid":
            return lines + self._grid(width, room, len(lines))
        self._window = None
        return lines + self._curves(width, room, len(lines))

    def brought(self, value: Any) -> None:
        """The finished curves."""
        self._chart = value if isinstance(value, Chart) else None

    def horizontal(self, step: int) -> None:
        """Along the chart's axis."""
        if self.view == "by layer":
            self.move_layer(step)
        else:
            self.move_token(step)

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """A click in the chart moves along its axis; in the grid to its cell."""
        if self._window is not None:
            cell = self._window.hit(x, y - self._window_top)
            return None if cell is None else {"layer": self._layers(self._site())[cell[0]], "token": cell[1]}
        at = self._chart.hit(x) if self._chart is not None and y >= self._chart_top else None
        return None if at is None else {"layer" if self.view == "by layer" else "token": at}

    # The numbers ---------------------------------------------------------------------------------------

    def _sites(self) -> list[str]:
        """Sites whose norms were captured, the cursor's last, so that its curve lies on top."""
        found = [site for site in DEFAULT_SITES if f"norm.{site}" in self.trace.stats]
        return sorted(found, key=lambda site: site == self.cursor.site)

    def _site(self) -> str:
        """The cursor's site; another one when that has no norms (attention patterns have none)."""
        return self._sites()[-1]

    def _norms(self, site: str) -> Floats:
        return self.trace.stats[f"norm.{site}"]  # (layer, pos)

    def _layers(self, site: str) -> Sequence[int]:
        return self.trace.stat_layers(f"norm.{site}")

    def _at_cursor(self, site: str) -> float | None:
        layers, norms = self._layers(site), self._norms(site)
        if self.cursor.layer not in layers or self.cursor.token >= norms.shape[1]:
            return None
        return float(norms[layers.index(self.cursor.layer), self.cursor.token])

    # The words -----------------------------------------------------------------------------------------

    def _summary(self, width: int) -> Line:
        """Every site's norm at the cursor, the cursor's site first."""
        style, parts = self.palette.style, []
        others = [site for site in self._sites() if site != self._site()]
        for rank, site in enumerate([self._site(), *others]):
            value = self._at_cursor(site)
            text = "not captured here" if value is None else figure(value)
            gap = "   " if rank else ""
            tone = "dim" if value is None else "text" if np.isfinite(value) else "bad"
            parts.append(Part(f"{gap}‖{site}‖ ", style(COLORS[site], bold=not rank), 2 * rank))
            parts.append(Part(text, style(tone, bold=not rank), 2 * rank))
        return spread([Part(" ", style()), *parts], self._views(), width - 1)

    def _views(self) -> list[Part]:
        dim, on = self.palette.style("dim"), self.palette.style("accent", bold=True)
        parts = [Part("v ", dim, 1)]
        for view in self.VIEWS:
            here = view == self.view
            parts.append(
                Part(view + ("  " if view != self.VIEWS[-1] else ""), on if here else dim, 1 if here else 9)
            )
        return parts

    def _growth(self, width: int) -> Line:
        """How the cursor's site grows over the layers at the cursor's token."""
        site, style = self._site(), self.palette.style("dim")
        norms, layers = self._norms(site), self._layers(site)
        column = norms[:, min(self.cursor.token, norms.shape[1] - 1)]
        found = growth(column)
        name = token_text(self.trace.tokens[self.cursor.token], 24)
        words = f"{site} of token {self.cursor.token} “{name}”: "
        words += f"{figure(found.first)} in layer {layers[0]}, {figure(found.last)} in layer {layers[-1]}"
        rises = f" · rises in {found.rising} of {found.steps} steps"
        odd = int((~np.isfinite(norms)).sum())
        broken = [Part(f" · {odd:,} not finite in this trace", self.palette.style("bad"))] if odd else []
        return spread(
            [
                Part(" " + words, style),
                *broken,
                Part(f" · {figure(found.ratio)} times", style, 1),
                Part(rises, style, 2),
            ],
            [],
            width - 1,
        )

    # The pictures --------------------------------------------------------------------------------------

    def _curves(self, width: int, room: int, top: int) -> list[Line]:
        by_layer, site = self.view == "by layer", self._site()
        place = self.cursor.token if by_layer else self.cursor.layer
        key = (self.trace.id, self.view, place, site, width, room)
        if room >= 2:
            series, x = self._series(by_layer)
            self.fetch(key, lambda: plot(series, x, width - 1, room))
        chart = self._chart
        if chart is None or chart.height != room - 1:
            return []
        self._chart_top = top
        at, title = (self.cursor.layer, "layer") if by_layer else (self.cursor.token, "token")
        return draw(chart, self.palette, at, title, bold=site)

    def _series(self, by_layer: bool) -> tuple[list[Series], list[int]]:
        """The curves of all sites over every captured layer, or over every token."""
        sites = self._sites()
        if not by_layer:
            x = list(range(len(self.trace.tokens)))
            return [Series(site, self._along_tokens(site), COLORS[site]) for site in sites], x
        x = sorted({layer for site in sites for layer in self._layers(site)})
        return [Series(site, self._along_layers(site, x), COLORS[site]) for site in sites], x

    def _along_layers(self, site: str, x: Sequence[int]) -> tuple[float, ...]:
        norms = dict(zip(self._layers(site), self._norms(site)[:, self.cursor.token].tolist(), strict=True))
        return tuple(float(norms.get(layer, float("nan"))) for layer in x)

    def _along_tokens(self, site: str) -> tuple[float, ...]:
        layers, norms = self._layers(site), self._norms(site)
        if self.cursor.layer not in layers:
            return (float("nan"),) * len(self.trace.tokens)
        return tuple(map(float, norms[layers.index(self.cursor.layer)]))

    def _grid(self, width: int, room: int, top: int) -> list[Line]:
        """Layer by token, the last layer on top; below it what the shades mean, where there is room."""
        site = self._site()
        norms, layers = self._norms(site), self._layers(site)
        here = layers.index(self.cursor.layer) if self.cursor.layer in layers else -1
        explained = room >= 8
        rows = pick_rows(len(layers), max(0, here), room - 1 - explained)
        first = self._window.columns.start if self._window else 0
        columns, cell = pick_columns(
            norms.shape[1], self.cursor.token, width - 8, widths=(7, 6, 5, 2), first=first, widest=10
        )
        window = Window(rows[::-1], columns, norms.shape[1], cell, gap=0, label=7)
        self._window, self._window_top = window, top + 1
        labels, scale = [str(layer) for layer in layers], Scale.of(norms)
        names = [token_text(token) for token in self.trace.tokens]
        cursor = (here, self.cursor.token)
        lines = grid(self.palette, window, "layer", labels, names, norms, scale, cursor)
        return [*lines, legend(self.palette, scale, 7, f"L2 of {site}")] if explained else lines
