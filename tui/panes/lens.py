"""What each layer would say next: the logit lens over layers and tokens, computed as it is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tensorshark.forensics.jobs import Done, JobCancelled, JobFailed, LensGrid
from tensorshark.traces.text import token_text
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import JobMessage
from tensorshark.tui.panes.cells import TOP, Cell, Cells
from tensorshark.tui.panes.pane import Subject
from tensorshark.tui.panes.sheet import Line, Sheet
from tensorshark.tui.widgets.heat import ABSENT, Window, header, level, pick_columns, pick_rows, row
from tensorshark.tui.widgets.line import Part, fit, spread
from tensorshark.tui.widgets.numbers import figure, share
from tensorshark.tui.widgets.sparkline import bars, meter, spark

SITE = "resid_post"
"""What the lens reads."""
WITH_PROBABILITY = 10
"""Cells of this width and more show the probability beside the token."""
PICTURES_FROM = 20
"""Rows from which the cursor's candidates are a list and the divergence is a picture."""
PICTURES = 9
"""Rows that they take at least, with the blank one above."""


class Lens(Sheet):
    """The most likely next token of every layer and token, shaded by its probability."""

    TITLE = "Lens"
    KEY = "3"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "retry", "Try again", show=False)]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._cells = Cells()
        self._window: Window | None = None
        self._waiting = False
        """A job is with the worker."""
        self._failed = ("", "")
        """Trace, and why its lens could not be read."""

    def show(self, subject: Subject | None, cursor: Cursor) -> None:
        """Draw what is known and ask for what is not."""
        super().show(subject, cursor)
        self._ask()

    def lack(self) -> str:
        """Said when the residual stream or the lens file is not there."""
        if SITE not in self.trace.sites:
            return (
                f"The lens reads {SITE}, which was not captured. To have it:\n{self.again(f'--sites {SITE}')}"
            )
        if self.trace.model.lens.storage == "none":
            return (
                f"The capture has no lens file for its model. To have it:\n{self.again('--lens-file embed')}"
            )
        return ""

    def captured_layers(self) -> Sequence[int]:
        """Those of the residual stream."""
        return self.trace.sites[SITE].layers

    def lines(self, width: int, height: int) -> list[Line]:
        """The grid, and below it all that is known about the cursor's cell."""
        if self._failed[0] == self.trace.id:
            problem = self.words(f"The lens cannot be read: {self._failed[1]}", width, "bad")
            return [[], *problem, [Segment(" r tries again", self.palette.style("dim"))]]
        big = height >= PICTURES_FROM
        room = height - 1 - (PICTURES if big else 2 + (height >= 14))
        grid = self._grid(width, max(1, room))
        left = height - len(grid)
        if big:
            return [*grid, [], *self._pictures(width, left - 1)]
        detail = [self._candidates(width), self._curve(width)]
        return [*grid, *([[]] if height >= 14 else []), *detail]

    def hit(self, x: int, y: int) -> dict[str, Any] | None:
        """A click in the grid."""
        cell = self._window.hit(x, y - 1) if self._window else None
        return None if cell is None else {"layer": self.captured_layers()[cell[0]], "token": cell[1]}

    # The worker ----------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """More may be on the screen now."""
        self.call_after_refresh(self._ask)

    def on_job_message(self, message: JobMessage) -> None:
        """An answer, or the end of a job; then the next question."""
        message.stop()
        said = message.payload
        if isinstance(said, LensGrid):
            self._cells.store(said)
            self.redraw()
        elif isinstance(said, Done | JobFailed | JobCancelled):
            self._waiting = False
            if isinstance(said, JobFailed):
                self._failed = (message.job, said.reason)
                self.redraw()
            self._ask()

    def action_retry(self) -> None:
        """Ask again after a failure."""
        self._failed = ("", "")
        self.redraw()
        self._ask()

    def _ask(self) -> None:
        """Send the worker the next job, when it has none and something on the screen is not known."""
        if self._waiting or self._lack or self._window is None or self.subject is None:
            return
        trace, window, layers = self.trace, self._window, self.captured_layers()
        if self._failed[0] == trace.id:
            return
        rows = [layers[index] for index in window.rows]
        capture = str(trace.capture.path.absolute())
        job = self._cells.next_job(capture, trace.id, layers, rows, window.columns, self._token())
        if job is None:
            return

        def answer(said: object) -> None:  # on the worker's thread
            self.post_message(JobMessage(trace.id, said))

        self._waiting = True
        self.subject.engine.lens(job, answer)

    # The grid ------------------------------------------------------------------------------------------

    def _token(self) -> int:
        return min(self.cursor.token, len(self.trace.tokens) - 1)

    def _here(self) -> int:
        """The row of the cursor's layer; -1 where it was not captured."""
        layers = list(self.captured_layers())
        return layers.index(self.cursor.layer) if self.cursor.layer in layers else -1

    def _cell(self, layer: int) -> Cell | None:
        """What is known at a layer of the cursor's token."""
        return self._cells.get(self.trace.id, layer, self._token())

    def _grid(self, width: int, room: int) -> list[Line]:
        """Tokens above, the last layer on top."""
        layers, tokens = self.captured_layers(), self.trace.tokens
        rows = pick_rows(len(layers), max(0, self._here()), room)
        first = self._window.columns.start if self._window else 0
        columns, cell = pick_columns(
            len(tokens), self._token(), width - 8, widths=(10, 8, 7), gap=1, first=first, widest=13
        )
        window = self._window = Window(rows[::-1], columns, len(tokens), cell, gap=1, label=7)
        names = [token_text(token) for token in tokens]
        lines = [header(self.palette, window, "layer", names, self._token())]
        for index in window.rows:
            cells = [self._cells.get(self.trace.id, layers[index], column) for column in columns]
            levels = [level(cell.probs[0], 0.0, 1.0) if cell and cell.probs else ABSENT for cell in cells]
            texts = [_written(cell, window.cell) for cell in cells]
            here = index == self._here()
            lines.append(
                row(self.palette, window, str(layers[index]), levels, texts, here=here, cursor=self._token())
            )
        return lines

    # The cursor's cell ---------------------------------------------------------------------------------

    def _candidates(self, width: int) -> Line:
        """The most likely tokens at the cursor in one line."""
        style, cell = self.palette.style, self._cell(self.cursor.layer)
        if cell is None or not cell.tokens:
            return self._unknown(cell, width)
        parts = [Part(" next  ", style("dim"))]
        for rank, (token, p) in enumerate(zip(cell.tokens, cell.probs, strict=True)):
            parts.append(
                Part(
                    f"{token_text(token, 16)} ", style("accent" if not rank else "text", bold=not rank), rank
                )
            )
            parts.append(Part(f"{share(p)}   ", style("dim"), rank))
        entropy = [Part("entropy ", style("dim"), 1), Part(f"{figure(cell.entropy)} nats", style("text"), 1)]
        return spread(parts, entropy, width - 1, gap=1)

    def _unknown(self, cell: Cell | None, width: int) -> Line:
        """Why nothing is said about the cursor's cell."""
        style = self.palette.style
        if cell is not None:
            text, tone = "the state at the cursor is not finite; the lens cannot read it", "bad"
        elif self._here() < 0:
            text, tone = f"{SITE} of layer {self.cursor.layer} was not captured; [ ] go to what was", "dim"
        else:
            text, tone = f"reading layer {self.cursor.layer} …", "dim"
        return spread([Part(" " + text, style(tone))], [], width - 1)

    def _curve(self, width: int) -> Line:
        """The divergence from the last layer over all layers, and the cursor's numbers, in one line."""
        style, layers = self.palette.style, self.captured_layers()
        cells = [self._cell(layer) for layer in layers]
        drawn = spark([cell.kl if cell else None for cell in cells], min(30, len(layers), width // 4), lo=0.0)
        parts = [Part(" KL to final ", style("dim")), *self._marked(drawn, "violet")]
        cell = self._cell(self.cursor.layer)
        if cell is not None and cell.tokens:
            parts += [Part(f" {figure(cell.kl)}", style("text"), 1), Part(" nats", style("dim"), 3)]
            parts += [Part("   " + self._rank(cell, cells), style("dim"), 2)]
        return spread(parts, [], width - 1)

    def _marked(self, drawn: str, color: str) -> list[Part]:
        """A curve over layers with the cursor's layer in amber."""
        at = self._here() * len(drawn) // len(self.captured_layers()) if self._here() >= 0 else len(drawn)
        tone, here = self.palette.style(color), self.palette.style("amber", bold=True)
        return [Part(drawn[:at], tone), Part(drawn[at : at + 1], here), Part(drawn[at + 1 :], tone)]

    def _rank(self, cell: Cell, cells: Sequence[Cell | None]) -> str:
        """Where the last layer's first token stands here, and from which layer on it is first."""
        layers = self.captured_layers()
        final = cells[-1]
        if cell.rank < 0 or final is None or not final.tokens or final.rank != 0:
            return "the last layer was not captured" if layers[-1] != self.trace.model.layers - 1 else ""
        lead = len(layers)
        while lead and (before := cells[lead - 1]) is not None and before.rank == 0:
            lead -= 1
        name = token_text(final.tokens[0], 16)
        return f"“{name}” rank {cell.rank + 1:,}, 1 from layer {layers[lead]}"

    # The cursor's cell, with room ----------------------------------------------------------------------

    def _pictures(self, width: int, height: int) -> list[Line]:
        """Candidates as a list, the divergence by layer beside it, and the cursor's numbers below."""
        cell = self._cell(self.cursor.layer)
        rows = min(height - 1, TOP + 1)
        left = self._list(cell, min(40, width // 2 - 2), rows)
        right = self._divergence(width - min(40, width // 2 - 2) - 5, rows)
        gap = Segment("    ")
        return [*([*a, gap, *b] for a, b in zip(left, right, strict=True)), self._numbers(width, cell)]

    def _list(self, cell: Cell | None, width: int, rows: int) -> list[Line]:
        """The candidates with bars."""
        style = self.palette.style
        title = f" {self.place()}"
        lines: list[Line] = [[Segment(fit(title, width), style("dim"))]]
        if cell is None or not cell.tokens:
            lines.append(
                [Segment(fit("".join(part.text for part in self._unknown(cell, width)), width), style("dim"))]
            )
        else:
            for place, (token, p) in enumerate(zip(cell.tokens[: rows - 1], cell.probs, strict=False), 1):
                tone = style("accent" if place == 1 else "text", bold=place == 1)
                bar = meter(p, max(0, width - 28))
                name = Segment(fit(token_text(token), 15), tone)
                number = Segment(f" {share(p):>5}  ", style("text"))
                lines.append(
                    [Segment(f" {place:>2}  ", style("dim")), name, number, Segment(bar, style("accent"))]
                )
        return lines + [[Segment(" " * width)]] * (rows - len(lines))

    def _divergence(self, width: int, rows: int) -> list[Line]:
        """KL(layer ‖ final) as bars over the layers."""
        style, layers = self.palette.style, self.captured_layers()
        cells = [self._cell(layer) for layer in layers]
        values = [None if cell is None or math.isnan(cell.kl) else cell.kl for cell in cells]
        step = max(1, min(3, width // len(layers)))
        span = min(width, step * len(layers))
        drawn = bars(values, span, rows - 2)
        most = max((value for value in values if value is not None), default=math.nan)
        title = "KL to final by layer" + ("" if math.isnan(most) else f", ≤ {figure(most)} nats")
        lines: list[Line] = [[Segment(fit(title, width), style("dim"))]]
        at = self._here()
        start = at * span // len(layers) if at >= 0 else span
        stop = max(start + 1, (at + 1) * span // len(layers)) if at >= 0 else span
        violet, amber = style("violet"), style("amber")
        for line in drawn:
            marked = [
                Segment(line[:start], violet),
                Segment(line[start:stop], amber),
                Segment(line[stop:], violet),
            ]
            lines.append(marked)
        ends = f"{layers[0]}".ljust(max(1, span - len(str(layers[-1])))) + str(layers[-1])
        return [*lines, [Segment(ends, style("dim"))]]

    def _numbers(self, width: int, cell: Cell | None) -> Line:
        """The cursor's numbers in words."""
        style = self.palette.style
        if cell is None or not cell.tokens:
            return []
        cells = [self._cell(layer) for layer in self.captured_layers()]
        parts = [
            Part(" entropy ", style("dim")), Part(f"{figure(cell.entropy)} nats", style("text")),
            Part("   KL to final ", style("dim"), 1), Part(figure(cell.kl), style("text"), 1),
            Part("   from final ", style("dim"), 3), Part(figure(cell.kl_reverse), style("text"), 3),
            Part("   " + self._rank(cell, cells), style("dim"), 2),
        ]  # fmt: skip
        return spread(parts, [], width - 1)


def _written(cell: Cell | None, width: int) -> str:
    """What stands in a cell of the grid: `…` while it is computed, `nan` where the state is not finite."""
    if cell is None:
        return "…"
    if not cell.tokens:
        return "nan"
    token = token_text(cell.tokens[0], width)
    if width < WITH_PROBABILITY:
        return token
    return f"{fit(token, width - 4)} {share(cell.probs[0])[:3]}"
