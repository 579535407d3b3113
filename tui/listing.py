"""The list, from the capture to the rows on the screen: opening, following, filtering, ordering, choosing."""

from __future__ import annotations

from dataclasses import replace

from textual import on

from tensorshark.traces.text import safe_text
from tensorshark.tui import crash, moves
from tensorshark.tui.messages import (
    CaptureGrew,
    CaptureOpened,
    Crashed,
    FilterChanged,
    FilterChecked,
    FilterFound,
    FilterSubmitted,
    FilterTyped,
    PaneReady,
    TraceLoaded,
)
from tensorshark.tui.shell import Shell
from tensorshark.tui.widgets.columns import COLUMNS
from tensorshark.tui.widgets.filter_bar import FilterInput
from tensorshark.tui.widgets.line import width_of
from tensorshark.tui.widgets.trace_list import ListHeader, TraceList

PATIENCE = 0.3
"""Seconds before the status line says what is being waited for."""


class Listing(Shell):
    """What threads and the filter line tell the screen about the list."""

    # The capture

    @on(CaptureOpened)
    def _opened(self, message: CaptureOpened) -> None:
        if message.problem:
            self.rows.empty = message.problem
            self.state.problem = "not open"
            self.rows.refresh()
        else:
            self.rows.empty = "no traces yet"
            self._count()
            self.apply(self.applied)
        self.refresh_lines()

    @on(PaneReady)
    def _pane_ready(self) -> None:
        self.show_pane(self.pane_name)

    @on(Crashed)
    def _crashed(self, message: Crashed) -> None:
        if message.fatal:
            raise message.error
        self.say(crash.report(message.error, self.NAME).splitlines()[0])

    @on(CaptureGrew)
    def _grew(self, message: CaptureGrew) -> None:
        state = self.state
        state.live, state.rate, state.problem = message.live, message.rate, message.problem
        state.catching_up = message.catching_up
        if message.new:
            self._count()
            if self.stopped != self.applied:
                self.apply(self.applied)
        self.refresh_lines()

    def _count(self) -> None:
        engine = self.session.engine
        assert engine is not None  # it answered
        self.state.total = len(engine.index)
        models = engine.capture.models().values()
        self.state.models = tuple(
            f"{safe_text(model.name, 80)} · {model.layers} layers · d {model.d_model}" for model in models
        )

    # The list

    def apply(self, text: str) -> None:
        """Filter and order the list, in a thread; the list changes when the answer is there."""
        self.applied, self.stopped, self.filling = text, None, None
        order, down = self.state.sort, self.state.descending
        self.session.select(text, order, down, self.rows.number)
        if self._waiting is None:
            self._waiting = self.set_timer(PATIENCE, self._still_waiting)

    def _still_waiting(self) -> None:
        self.state.busy = self.state.busy or "filtering · Esc stops"
        self.status.update()
        self._say_count()

    @on(FilterFound)
    def _found(self, message: FilterFound) -> None:
        """Show what a long scan has found so far; the cursor stays where it is."""
        if message.ticket != self.session.selecting:
            return
        found, total = len(message.numbers), self.state.total
        self.state.busy = f"{found:,} of {total:,}, {message.share} % scanned · Esc stops"
        if found and message.text != self.listed:  # else the list is fuller than what was found again so far
            self.state.shown, self.filling = found, message.text
            self.rows.fill(message.numbers, self.rows.number)
            self._say_count()
        self.refresh_lines()

    @on(FilterChanged)
    def _filtered(self, message: FilterChanged) -> None:
        if message.ticket != self.session.selecting:
            return
        self.selected = message.ticket
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        self.state.busy = ""
        if message.numbers is None:
            self.say(message.problem)
            self.rows.empty = message.problem
        else:
            self.listed = None if message.stopped else message.text
            self.state.shown = len(message.numbers)
            if message.stopped:
                self.rows.empty = "stopped before anything was found; / and ⏎ goes on"
            elif self.state.total:
                self.rows.empty = f"none of {self.state.total:,} traces passes this filter; X clears it"
            newest = int(message.numbers.max()) if self.state.tail and len(message.numbers) else 0
            self.rows.fill(message.numbers, newest or self.rows.number)
        if message.stopped:
            self.stopped = message.text
            found = f"{len(message.stopped.numbers):,} found"
            self.say(f"stopped: {found}, {message.stopped.share} % scanned; / and ⏎ goes on")
        self._say_count()
        self.header.refresh()
        self.refresh_lines()

    def _say_count(self) -> None:
        state, typed = self.filter_state, self.filter.value
        total, shown = self.state.total, self.state.shown
        waited = typed and self._waiting is not None and typed not in (self.listed, self.filling)
        if typed == self.applied and waited:
            state.count = "filtering"  # the list is still that of the filter before
        elif typed == self.applied:
            more = "+" * (self.listed != typed)  # there may be more: a scan goes on, or was stopped
            state.count = f"{shown:,}{more} of {total:,}" if typed else ""
        else:
            state.count = "⏎ applies" if state.state in ("ok", "slow", "old", "empty") else ""
        state.update()

    @on(TraceList.Chosen)
    def _chosen(self, message: TraceList.Chosen) -> None:
        row = self.rows.row(message.number)
        if row is None:
            self.cursor, self.subject = replace(self.cursor, trace=""), None
            self.details.number = message.number
            self.show_subject()
            return
        if row.id == self.cursor.trace:
            return
        old = self.subject.trace if self.subject else None
        # The last token stays the last one: it is where the model speaks.
        at_end = old is None or self.cursor.token >= len(old.token_ids) - 1
        token = row.seq_len - 1 if at_end else min(self.cursor.token, row.seq_len - 1)
        self.cursor = replace(self.cursor, trace=row.id, token=token)
        self.details.number = row.number
        self.session.load(row.id, self.partner)

    @on(TraceList.Trouble)
    def _list_trouble(self, message: TraceList.Trouble) -> None:
        self.say(message.problem)

    @on(TraceLoaded)
    def _loaded(self, message: TraceLoaded) -> None:
        if message.ticket != self.session.loading:
            return
        self.loaded = message.ticket
        self.subject = message.subject
        trace = self.subject.trace
        if trace is not None:
            if not self._placed:
                self._placed = True
                self.cursor = replace(self.cursor, layer=moves.middle(trace))
            self.cursor = moves.fitted(self.cursor, trace, self.subject.heads)
        self.show_subject()

    # The filter line

    @on(FilterTyped)
    def _typed(self, message: FilterTyped) -> None:
        self.session.check(message.text, message.position, message.history, self.rows.number)
        self._say_count()

    @on(FilterChecked)
    def _checked(self, message: FilterChecked) -> None:
        if message.text != self.filter.value:
            return
        check, scrolled = message.check, int(self.filter.scroll_offset.x)
        self.filter_state.state = check.state
        before = width_of(message.text[: check.column])
        length = width_of(message.text[check.column : check.column + check.length])
        self.filter_words.say(check, before - scrolled, length)
        items = [item for item in message.completions if item.text != message.text[item.start : item.stop]]
        if self.filter.has_focus and items:
            region = self.filter.region
            x = region.x + width_of(message.text[: items[0].start]) - scrolled
            self.completions.show(items, x - 1, region.y + 2)
        else:
            self.completions.close()
        self._say_count()

    @on(FilterSubmitted)
    def _submitted(self, message: FilterSubmitted) -> None:
        if self.filter_state.state in ("bad", "incomplete"):
            self.say(f"this filter is {self.filter_state.state}; the list is unchanged")
            return
        self.filter.remember(message.text)
        self.apply(message.text)
        self.rows.focus()

    @on(FilterInput.Left)
    def _filter_left(self) -> None:
        self.rows.focus()

    # Ordering

    def order_by(self, name: str, expression: str, descending: bool) -> None:
        """Order the list by a column, or by any field expression."""
        state = self.state
        state.sort = "" if expression == "number" and not descending else expression
        state.descending = descending
        state.order = f"{name} {'↓' if descending else '↑'}" if state.sort else ""
        self.header.order, self.header.descending = name, descending
        self.apply(self.applied)

    @on(ListHeader.Pressed)
    def _heading_pressed(self, message: ListHeader.Pressed) -> None:
        column = next(column for column in COLUMNS if column.name == message.column)
        again = self.header.order == column.name
        self.order_by(column.name, column.sort, not self.header.descending if again else False)
