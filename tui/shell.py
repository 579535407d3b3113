"""The workbench's screen and what it knows; `listing` fills its list, `app` adds what can be done.

Nothing here imports torch, numpy or the filter parser: the first screen is painted before the capture is
even opened, and `session` does everything that may take time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.timer import Timer

from tensorshark.traces.text import safe_text
from tensorshark.tui import moves
from tensorshark.tui.actions import PANES
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.messages import CursorMoved
from tensorshark.tui.palette import DARK, PALETTES
from tensorshark.tui.panes.pane import Pane, Subject
from tensorshark.tui.session import Session
from tensorshark.tui.terminal import SafeApp
from tensorshark.tui.widgets.command_bar import CommandBar
from tensorshark.tui.widgets.details import Details
from tensorshark.tui.widgets.filter_bar import LABEL, Completions, FilterInput, FilterState, FilterWords
from tensorshark.tui.widgets.status import Footer, Heading, Notice, ScreenState, StatusLine, Tabs, TitleLine
from tensorshark.tui.widgets.trace_list import ListHeader, TraceList

NARROW = 110
"""Below this many columns the details are a tab, not a part of their own."""
LEAST = (60, 16)
"""Columns and rows below which only the size needed is shown."""


class Shell(SafeApp):
    """The parts, the layout, and one cursor for all of them."""

    TITLE = "tensorshark"
    CSS_PATH = "workbench.tcss"
    AUTO_FOCUS = None  # or the filter line would catch keys when the focused part is hidden

    def __init__(self, path: Path, theme: str, plain: bool) -> None:
        """`theme` is a palette's name; `plain` means that no colour may be sent at all."""
        super().__init__(ansi_color=True if plain else None)
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = theme
        self.animation_level = "none"
        self.session = Session(path, self.post_message)
        self.state = ScreenState(name=safe_text(path.name, 200))
        self.cursor = Cursor()
        self.subject: Subject | None = None
        """What the panes show: the trace under the cursor, once it was read."""
        self.applied = ""
        """The filter that the list shows."""
        self.listed: str | None = None
        """The filter all of whose traces are listed; None where a scan was stopped."""
        self.filling: str | None = None
        """The filter some of whose traces are listed while it looks for more."""
        self.stopped: str | None = None
        """A filter that was stopped: not applied again because traces came in."""
        self.pane_name = "Norms"
        self.partner = ""
        """Id of the trace to compare with; empty for none."""
        self.selected = self.loaded = 0
        """Tickets of the newest answers."""
        self.panes: dict[str, Pane] = {}
        """Those that were brought up so far, by name."""
        self._placed = False
        """True once the first trace has put the cursor in the middle of the model."""
        self._due = False
        """True while the parts of the screen still have to follow the cursor."""
        self._waiting: Timer | None = None

        self.rows = TraceList(self.session.rows)
        self.rows.empty = "opening the capture"
        self.header = ListHeader(self.rows)
        self.completions = Completions()
        self.filter = FilterInput(self.completions, id="filter")
        self.filter_state = FilterState()
        self.filter_words = FilterWords()
        self.details = Details()
        self.details_heading = Heading("Details", id="details-heading")
        self.tabs = Tabs()
        self.title_line = TitleLine(self.state)
        self.status = StatusLine(self.state)
        self.command_bar = CommandBar(id="command-bar")
        self.footer = Footer()

    # The screen

    def compose(self) -> ComposeResult:
        """Top to bottom as on the screen."""
        yield self.title_line
        with Horizontal(id="bar"):
            yield Heading(LABEL.strip(), id="filter-label")
            yield self.filter
            yield self.filter_state
        yield self.filter_words
        yield self.header
        yield self.rows
        with Horizontal(id="divider"):
            yield self.details_heading
            yield self.tabs
        with Horizontal(id="lower"):
            yield self.details
            yield Container(id="panes")
        yield self.status
        yield self.footer
        yield self.command_bar
        yield self.completions
        yield Notice(*LEAST)

    def on_mount(self) -> None:
        """Give the list the keys; the capture is opened once the first screen is out."""
        self.rows.focus()
        self.show_subject()
        self.call_after_refresh(self.session.open, f"tensorshark.tui.panes.{self.pane_name.lower()}")

    def on_unmount(self) -> None:
        """Let the threads and the worker go."""
        self.session.close()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the size."""
        width, height = event.size.width, event.size.height
        narrow = width < NARROW
        screen = self.screen_stack[0]
        screen.set_class(narrow, "-narrow")
        screen.set_class(width < LEAST[0] or height < LEAST[1], "-small")
        self.tabs.names = tuple(pane.name for pane in PANES if narrow or pane.module)
        if not narrow and self.pane_name == "Details":
            self.show_pane("Norms")
        self.tabs.update()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The style sheet's own colours, for the moment before a theme of ours is set."""
        return DARK.theme().variables

    @property
    def settled(self) -> bool:
        """True when the list is filled, and the trace under the cursor was read or there is none."""
        if self.session.engine is None:
            return bool(self.state.problem)
        listed = self.selected == self.session.selecting > 0 and not self.state.catching_up
        loaded = self.loaded == self.session.loading and self.details.number == self.rows.number
        shown = not self._due and self.pane_name in ("Details", *self.panes)
        return listed and loaded and shown

    def refresh_lines(self) -> None:
        """Let every line say what is true now; those that say the same stay untouched."""
        self.title_line.update()
        self.status.update()

    def say(self, words: str) -> None:
        """Answer in the status line, until the next key."""
        self.state.say = words
        self.status.update()

    async def on_event(self, event: events.Event) -> None:
        """A key takes the last answer off the status line."""
        if isinstance(event, events.Key) and self.state.say:
            self.say("")
        await super().on_event(event)

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _heading_follows_focus(self) -> None:
        self.details_heading.here = self.details.has_focus
        self.details_heading.update()

    # The cursor and the panes

    @on(CursorMoved)
    def _moved(self, message: CursorMoved) -> None:
        self.move(message.cursor)

    @on(Details.Told)
    def _told(self, message: Details.Told) -> None:
        self.say(message.value)

    def move(self, cursor: Cursor) -> None:
        """Put the cursor somewhere on this trace; every part follows."""
        trace = self.subject.trace if self.subject else None
        if trace is None or cursor.trace != trace.id:
            return
        cursor = moves.fitted(cursor, trace, self.state.heads)
        if cursor != self.cursor:
            self.cursor = cursor
            self.show_where()
            # The key is answered first; a held key draws the parts once per frame.
            if not self._due:
                self._due = True
                self.call_after_refresh(self.show_subject)

    def show_where(self) -> None:
        """Let the status line say where the cursor is."""
        trace = self.subject.trace if self.subject else None
        state, cursor = self.state, self.cursor
        state.cursor = cursor if trace else replace(cursor, trace="")
        state.token = trace.tokens[cursor.token] if trace and trace.tokens else ""
        self.status.update()

    def show_subject(self) -> None:
        """Let the details, the pane on show and the status line follow."""
        self._due = False
        self.state.heads = self.subject.heads if self.subject else 0
        self.details.show(self.subject, self.cursor)
        if (pane := self.panes.get(self.pane_name)) is not None:
            pane.show(self.subject, self.cursor)
        self.show_where()

    def show_pane(self, name: str) -> None:
        """Bring up a pane, importing and building it the first time."""
        self.pane_name = self.tabs.chosen = name
        kind = next(kind for kind in PANES if kind.name == name)
        if kind.module and name not in self.panes:
            pane = self.panes[name] = load_pane(kind.module)
            self.query_one("#panes").mount(pane)
        for other, pane in self.panes.items():
            pane.set_class(other == name, "-shown")
        self.screen_stack[0].set_class(name == "Details", "-details")
        self.show_subject()
        self.tabs.update()

    @on(Tabs.Pressed)
    def _tab_pressed(self, message: Tabs.Pressed) -> None:
        self.show_pane(message.name)


def load_pane(where: str) -> Pane:
    """Import and build a pane: `norms:Norms` in `tui.panes`."""
    import importlib

    module, _, name = where.partition(":")
    kind: Any = getattr(importlib.import_module(f"tensorshark.tui.panes.{module}"), name)
    pane = kind()
    assert isinstance(pane, Pane)
    return pane
