"""This trace against the one marked with `d`: what aligns, how far apart the states are, where they part."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from rich.segment import Segment
from textual.binding import Binding, BindingType

from tensorshark.forensics.compare import Distance
from tensorshark.traces.sites import DEFAULT_SITES
from tensorshark.traces.text import safe_text, token_text
from tensorshark.traces.trace import Trace
from tensorshark.tui.panes.aligned import TOLERANCE, Column, Comparison, Parting, compare, parting, refusal
from tensorshark.tui.panes.sheet import Line, Sheet
from tensorshark.tui.widgets.heat import (
    ABSENT,
    Floats,
    Scale,
    Window,
    header,
    legend,
    numbers,
    pick_columns,
    pick_rows,
    row,
    title_in,
)
from tensorshark.tui.widgets.line import Part, fit, spread
from tensorshark.tui.widgets.numbers import figure, short

MEASURES = ("cosine", "L2", "MAE", "Jaccard")
"""Columns right of the grid: similarity, length of the difference, its mean magnitude, shared top 1 %."""
MEASURE = 8
"""Width of one of them."""
BOTH_FROM = 12
"""Rows from which both traces' tokens stand above the grid."""
WORDS_FROM = 14
"""Rows from which the cursor's numbers are also said in words."""
KEPT = 8
"""Comparisons remembered."""

Found = Comparison | Parting | None


class Diff(Sheet):
    """Two traces of one model, token by token and layer by layer."""

    TITLE = "Diff"
    KEY = "4"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "where", "Where they part", show=False)]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._found: dict[tuple[str, ...], Found] = {}
        """(trace, other, site) -> comparison; (trace, other) -> where they part."""
        self._problem: tuple[tuple[str, ...], str] = ((), "")
        """What could not be compared, and why."""
        self._window: Window | None = None
        self._top = 0

    @property
    def other(self) -> Trace:
        """The marked trace; only to be asked for when `lack` is empty."""
        assert self.subject is not None and self.subject.other is not None
        return self.subject.other

    def lack(self) -> str:
        """Said when there is nothing to compare, or nothing that may be."""
        if self.subject is None or self.subject.other is None:
            return (
                "No trace to compare with.\n"
                "d marks the selected trace. Select another one, and the two are compared here."
            )
        if self.other.id == self.trace.id:
            return "This is the marked trace. Select another one (j k), and the two are compared here."
        if reason := refusal(self.trace, self.other):
            path = safe_text(str(self.trace.capture.path), 200)
            run = f"tensorshark run diff {path} -o a={self.trace.id} -o b={self.other.id} -o force=true"
            return f"{reason} To compare what both have all the same:\n{run}"
        if self.cursor.site not in DEFAULT_SITES:
            return f"{self.cursor.site} is not compared here. s goes to a site of the residual stream."
        if self.cursor.site not in self.trace.sites:
            return f"{self.cursor.site} was not captured. s goes to a site that was."
        return ""

    def lines(self, width: int, height: int) -> list[Line]:
        """Verdict, grid of distances, and the cursor's numbers by layer."""
        key = (self.trace.id, self.other.id, self.cursor.site)
        if self._problem[0] in (key, key[:2]):
            return self.words(self._problem[1], width, "bad")
        found = self._ask(key)
        if not isinstance(found, Comparison):
            return self.words(f"Comparing {self.cursor.site} with trace {self._partner()} …", width)
        if not found.pairs:
            return self.words(
                f"No token of this trace is aligned with one of trace {self._partner()}.", width
            )
        lines = [self._summary(width, found), self._verdict(width, found)]
        if height >= WORDS_FROM:
            lines.append([])
        lines += self._grid(
            width, height - len(lines) - 2 * (height >= WORDS_FROM), len(lines), found, height
        )
        if height >= WORDS_FROM:
            lines += [[], self._numbers(width, found)]
        return lines

    def brought(self, value: Any) -> None:
        """A comparison, where they part, or why neither can be said."""
        key = self._asked
        assert isinstance(key, tuple)
        if isinstance(value, Exception):
            self._problem = (key, str(value))
            return
        self._found[key] = value
        while len(self._found) > KEPT:
            del self._found[next(iter(self._found))]

    def action_where(self) -> None:
        """Go to where the states first part; where they do not, to where the tokens do."""
        if self._lack:
            return
        key = (self.trace.id, self.other.id)
        place, comparison = self._found.get(key), self._found.get((*key, self.cursor.site))
        if isinstance(place, Parting):
            self.move(layer=place.layer, site=place.site, token=place.token)
        elif isinstance(comparison, Comparison):
            unlike = [column.a for column in comparison.columns if column.pair < 0 and column.a is not None]
            if unlike:
                self.move(token=unlike[0])

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """A click in the grid; columns that only the other trace has lead nowhere."""
        found = self._found.get((self.trace.id, self.other.id, self.cursor.site))
        cell = self._window.hit(x, y - self._top) if self._window else None
        if cell is None or not isinstance(found, Comparison):
            return None
        token = found.columns[cell[1]].a
        return {"layer": found.layers[cell[0]]} | ({} if token is None else {"token": token})

    def _ask(self, key: tuple[str, str, str]) -> Found:
        """What is known of this site; asks for it, and after that for where the two part."""
        a, b = self.trace, self.other
        if key not in self._found:
            self.fetch(key, lambda: compare(a, b, key[2]))
        elif key[:2] not in self._found:
            self.fetch(key[:2], lambda: parting(a, b))
        return self._found.get(key)

    # The words -----------------------------------------------------------------------------------------

    def _partner(self) -> str:
        number = self.other.number
        return f"#{number}" if number else self.other.id

    def _summary(self, width: int, found: Comparison) -> Line:
        """Which two, and how much of them aligns."""
        style = self.palette.style
        prompt = safe_text(self.other.prompt, 60)
        here, there = len(self.trace.tokens), len(self.other.tokens)
        counts = f"{len(found.pairs)} tokens align of {here} here and {there} there"
        left = [
            Part(f" against {self._partner()} ", style("amber", bold=True)),
            Part(f"“{prompt}”", style("text"), 2),
        ]
        return spread(left, [Part(counts, style("dim"), 1)], width - 1)

    def _verdict(self, width: int, found: Comparison) -> Line:
        """Where the tokens part and where the states do."""
        style, key = self.palette.style, (self.trace.id, self.other.id)
        unlike = next((column for column in found.columns if column.pair < 0), None)
        if unlike is None:
            left = [Part(" the tokens are the same", style("text"))]
        else:
            at = unlike.b if unlike.a is None else unlike.a
            left = [Part(f" tokens part at {at}", style("text")), Part(self._both(unlike), style("dim"), 3)]
        if key not in self._found:
            return spread([*left, Part(" · looking where the states do …", style("dim"), 1)], [], width - 1)
        place = self._found[key]
        if isinstance(place, Parting):
            name = token_text(self.trace.tokens[place.token], 12)
            left.append(
                Part(f" · states at {place.token} “{name}” layer {place.layer} {place.site}", style("text"))
            )
            left.append(Part(f", by {short(100 * place.share, 4)} % of their length", style("dim"), 2))
        else:
            left.append(Part(" · no state differs", style("text")))
            left.append(Part(f" by more than {TOLERANCE:g} of its length", style("dim"), 2))
        goes = [Part("w", style("accent", bold=True), 1), Part(" goes there", style("dim"), 1)]
        return spread(left, goes if isinstance(place, Parting) or unlike else [], width - 1)

    def _both(self, column: Column) -> str:
        """`, “·and” here and “·or” there`, of a column whose tokens differ."""
        a = "nothing" if column.a is None else f"“{token_text(self.trace.tokens[column.a], 12)}”"
        b = "nothing" if column.b is None else f"“{token_text(self.other.tokens[column.b], 12)}”"
        return f", {a} here and {b} there"

    def _numbers(self, width: int, found: Comparison) -> Line:
        """The cursor's numbers in words."""
        style, pair = self.palette.style, self._pair(found)
        here = self._place(found)
        if pair < 0 or here < 0:
            why = (
                "not aligned, nothing to compare"
                if pair < 0
                else f"layer {self.cursor.layer} was not captured"
            )
            return spread([Part(f" {self.place()}: {why}", style("dim"))], [], width - 1)
        values = _measures(found.distances[here], pair)
        parts: list[Part] = []
        names = ("cosine", "L2 of the difference", "mean |difference|", "top 1 % shared")
        for rank, (name, value) in enumerate(zip(names, values, strict=True)):
            parts.append(Part(f"  {name} ", style("dim"), rank))
            parts.append(Part(figure(value), style("text", bold=not rank), rank))
        return spread(parts, [], width - 1)

    # The grid ------------------------------------------------------------------------------------------

    def _place(self, found: Comparison) -> int:
        """The row of the cursor's layer; -1 where it was not captured."""
        return found.layers.index(self.cursor.layer) if self.cursor.layer in found.layers else -1

    def _column(self, found: Comparison) -> int:
        """The column of the cursor's token."""
        return next((index for index, column in enumerate(found.columns) if column.a == self.cursor.token), 0)

    def _pair(self, found: Comparison) -> int:
        """The pair of the cursor's token; -1 where it is not aligned."""
        return found.columns[self._column(found)].pair

    def _grid(self, width: int, room: int, top: int, found: Comparison, height: int) -> list[Line]:
        """Layer by token, 1 - cosine; right of it the four measures at the cursor's token, by layer."""
        both, explained = height >= BOTH_FROM, room >= 9
        at, here = self._column(found), self._place(found)
        rows = pick_rows(len(found.layers), max(0, here), max(1, room - 1 - both - explained))
        table = MEASURE * len(MEASURES) if width >= 64 else 0
        first = self._window.columns.start if self._window else 0
        shown, cell = pick_columns(
            len(found.columns), at, width - 9 - table, widths=(9, 7, 6, 5), first=first, widest=10
        )
        window = self._window = Window(rows[::-1], shown, len(found.columns), cell, gap=0, label=7)
        self._top = top + 1 + both
        values = np.stack([_apart(one, found.columns) for one in found.distances])  # (layer, column)
        known = values[np.isfinite(values)]
        scale = Scale(0.0, float(known.max(initial=0.0)))
        lines = self._headers(window, found, at, both)
        lines += [self._row(window, found, index, values, scale, at, here) for index in window.rows]
        if table:
            self._table(lines, window, found, both)
        return (
            [*lines, legend(self.palette, scale, 8, f"1 - cosine of {self.cursor.site}")]
            if explained
            else lines
        )

    def _headers(self, window: Window, found: Comparison, at: int, both: bool) -> list[Line]:
        """This trace's tokens; and the other's, dim where they are the same."""
        here = [
            "" if column.a is None else token_text(self.trace.tokens[column.a]) for column in found.columns
        ]
        there = [
            "" if column.b is None else token_text(self.other.tokens[column.b]) for column in found.columns
        ]
        if not both:
            names = [a or f"+{b}" for a, b in zip(here, there, strict=True)]
            return [header(self.palette, window, "layer", names, at)]
        style = self.palette.style
        line = [
            Segment(
                self._partner()[: window.label - 1].rjust(window.label - 1) + " ", style("amber", bold=True)
            )
        ]
        for index in window.columns:
            same = found.columns[index].pair >= 0
            line.append(Segment(" " + title_in(there[index], window), style("dim" if same else "amber")))
        return [header(self.palette, window, "layer", here, at), line]

    def _row(
        self, window: Window, found: Comparison, index: int, values: Floats, scale: Scale, at: int, here: int
    ) -> Line:
        cells = values[index, window.columns.start : window.columns.stop]
        levels = scale.levels(cells).tolist()
        texts = numbers(window, cells.tolist(), levels)
        for place, column in enumerate(found.columns[index] for index in window.columns):
            if column.pair < 0:
                levels[place] = ABSENT
                texts[place] = "≠" if column.a is not None and column.b is not None else "–"
        return row(
            self.palette, window, str(found.layers[index]), levels, texts, here=index == here, cursor=at
        )

    def _table(self, lines: list[Line], window: Window, found: Comparison, both: bool) -> None:
        """Add the measures at the cursor's token to the lines of the grid."""
        style, pair = self.palette.style, self._pair(found)
        blank = "" if window.columns.stop < window.total else " "  # else the header ends in `›`
        lines[0].append(Segment(blank + "".join(name.rjust(MEASURE) for name in MEASURES), style("dim")))
        if both:
            at = f"at “{token_text(self.trace.tokens[self.cursor.token], 20)}”"
            lines[1].append(Segment(fit(at, 1 + MEASURE * len(MEASURES), right=True), style("dim")))
        for line, index in zip(lines[1 + both :], window.rows, strict=True):
            values = _measures(found.distances[index], pair) if pair >= 0 else ()
            text = "".join(short(value, 6).rjust(MEASURE) for value in values) or "–".rjust(MEASURE)
            on = found.layers[index] == self.cursor.layer
            line.append(Segment(" " + text, style("text" if on else "dim", bold=on)))


def _apart(one: Distance, columns: tuple[Column, ...]) -> Floats:
    """1 - cosine (column,), never below 0; NaN where tokens are not aligned."""
    apart = np.maximum(0.0, 1.0 - one.cosine)
    apart[apart < 1e-7] = 0.0  # what is left of rounding between equal states
    return np.array([apart[column.pair] if column.pair >= 0 else np.nan for column in columns])


def _measures(one: Distance, pair: int) -> tuple[float, float, float, float]:
    """Cosine, L2, mean absolute error and Jaccard of one pair."""
    return float(one.cosine[pair]), float(one.l2[pair]), float(one.mae[pair]), float(one.jaccard[pair])
