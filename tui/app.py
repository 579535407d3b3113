"""The workbench: what can be done on its screen. Keys, `:` and the palette all end in the methods here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Input

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.text import safe_text
from tensorshark.tui import commands, moves
from tensorshark.tui.actions import ACTIONS, PANES
from tensorshark.tui.listing import Listing
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.widgets.command_bar import CommandBar
from tensorshark.tui.widgets.status import Footer
from tensorshark.tui.widgets.trace_list import TraceList

ZOOM = ("", "-only-panes", "-only-list")


class Workbench(Listing):
    """The full-screen program over one capture."""

    BINDINGS: ClassVar[list[Any]] = [
        *(Binding(action.keys, action.name, action.title, show=False) for action in ACTIONS if action.keys),
        *(Binding(pane.key, f"pane('{pane.name}')", pane.name, show=False) for pane in PANES),
        Binding("shift+tab", "focus_previous", show=False),
    ]

    def __init__(self, path: str | Path, theme: str = "auto") -> None:
        """`theme` is `dark`, `light`, `ansi`, or `auto` to go by the environment."""
        chosen = theme if theme in PALETTES else choose_theme(os.environ)
        super().__init__(Path(path), chosen, plain="NO_COLOR" in os.environ)

    # List

    def action_filter(self) -> None:
        """Type on the filter line."""
        self.filter.focus()
        self.session.check(self.filter.value, self.filter.cursor_position, selected=self.rows.number)

    def action_clear_filter(self) -> None:
        """Display every trace."""
        self.filter.put("")
        self.apply("")

    def action_give_up(self) -> None:
        """Stop a filter that is being applied."""
        if self.selected != self.session.selecting:
            self.session.give_up()

    def action_next_trace(self) -> None:
        """One row down."""
        self.rows.step(1)

    def action_previous_trace(self) -> None:
        """One row up."""
        self.rows.step(-1)

    def action_page_down(self) -> None:
        """A screenful down."""
        self.rows.step(self.rows.page)

    def action_page_up(self) -> None:
        """A screenful up."""
        self.rows.step(-self.rows.page)

    def action_first(self) -> None:
        """The first row."""
        self.rows.move_to(0)

    def action_last(self) -> None:
        """The last row."""
        self.rows.move_to(len(self.rows.numbers) - 1)

    def action_mark(self) -> None:
        """Mark the trace under the cursor, or unmark it."""
        if number := self.rows.number:
            self.rows.mark(number)
            self.state.marked = len(self.rows.marks)
            self.status.update()

    def action_next_mark(self) -> None:
        """The next marked row, and after the last the first."""
        if (index := self.rows.next_mark()) < 0:
            self.say("no marked trace is displayed; m marks one")
        else:
            self.rows.move_to(index)

    def action_partner(self) -> None:
        """Compare other traces with this one; on the same trace again, with none."""
        number = self.rows.number
        if not number:
            return
        off = self.rows.partner == number
        self.partner = "" if off else self.cursor.trace
        self.rows.pair(0 if off else number)
        self.say("nothing to compare with" if off else f"comparing with trace {number}; 4 shows Diff")
        self.session.load(self.cursor.trace, self.partner)

    def action_order(self) -> None:
        """Order by the next column on the screen."""
        shown = [column for column, _ in self.rows.columns()]
        names = [column.name for column in shown]
        at = names.index(self.header.order) if self.header.order in names else -1
        column = shown[(at + 1) % len(shown)]
        self.order_by(column.name, column.sort, self.header.descending)

    def action_turn(self) -> None:
        """The other way round."""
        expression = self.state.sort or "number"
        self.order_by(self.header.order, expression, not self.header.descending)

    def action_tail(self) -> None:
        """Stay on the newest trace, or stop doing so."""
        self.state.tail = not self.state.tail
        if self.state.tail:
            self.apply(self.applied)
        self.refresh_lines()

    # Cursor

    def action_layer_up(self) -> None:
        """The next captured layer."""
        self._step(moves.next_layer, 1)

    def action_layer_down(self) -> None:
        """The captured layer before."""
        self._step(moves.next_layer, -1)

    def action_token_left(self) -> None:
        """The token before."""
        self._step(moves.next_token, -1)

    def action_token_right(self) -> None:
        """The next token."""
        self._step(moves.next_token, 1)

    def action_site(self) -> None:
        """The next captured site."""
        self._step(moves.next_site)

    def action_head(self) -> None:
        """The next attention head, and after the last the first."""
        if self.state.heads:
            self.move(replace(self.cursor, head=(self.cursor.head + 1) % self.state.heads))

    def _step(self, how: Any, *args: int) -> None:
        if self.subject and self.subject.trace and self.cursor.trace == self.subject.trace.id:
            self.move(how(self.cursor, self.subject.trace, *args))

    # Panes

    def action_pane(self, name: str) -> None:
        """Bring up a pane by name."""
        if name in self.tabs.names:
            self.show_pane(name)
        elif name == "Details":
            self.details.focus()

    def action_next_pane(self) -> None:
        """Bring up the next pane, and after the last the first."""
        names = self.tabs.names
        self.show_pane(names[(names.index(self.pane_name) + 1) % len(names)])

    def action_view(self) -> None:
        """The next view of the pane on show."""
        if getattr(self.panes.get(self.pane_name), "VIEWS", ()):
            self._ask_pane("view", "")
        else:
            self.say(f"{self.pane_name} has one view")

    def action_where(self) -> None:
        """In Diff: to where the two traces first differ."""
        self._ask_pane("where", "w works in Diff; 4 shows it")

    def _ask_pane(self, name: str, otherwise: str) -> None:
        """Do an action of the pane on show, wherever the focus is; or say what there is instead."""
        if action := getattr(self.panes.get(self.pane_name), f"action_{name}", None):
            action()
        else:
            self.say(otherwise)

    def action_zoom(self) -> None:
        """List and panes, then the panes alone, then the list alone."""
        screen = self.screen_stack[0]
        at = next((i for i, name in enumerate(ZOOM) if name and screen.has_class(name)), 0)
        screen.remove_class(*ZOOM[1:])
        if name := ZOOM[(at + 1) % len(ZOOM)]:
            screen.add_class(name)

    def action_focus_next(self) -> None:
        """The next part: list, details, pane."""
        self._focus(1)

    def action_focus_previous(self) -> None:
        """The part before."""
        self._focus(-1)

    def _focus(self, step: int) -> None:
        parts = [self.rows, self.details, self.panes.get(self.pane_name)]
        there = [part for part in parts if part is not None and part.focusable and part.region.area]
        if there:
            at = next((i for i, part in enumerate(there) if part.has_focus), -step)
            there[(at + step) % len(there)].focus()

    @on(TraceList.Entered)
    def _row_entered(self) -> None:
        self._focus(1)

    # The rest

    def action_help(self) -> None:
        """Keys, commands, panes and the filter language."""
        from tensorshark.tui.widgets.help import HelpScreen

        self.push_screen(HelpScreen())

    def action_palette(self) -> None:
        """Find an action by its name."""
        self.action_command_palette()
        self.call_after_refresh(self._still_cursor)

    def _still_cursor(self) -> None:
        for line in self.screen.query(Input):
            line.cursor_blink = False

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette lists the same actions as the keys."""
        for action in ACTIONS:
            if action.name != "palette":
                keys = f" ({action.shown})" if action.shown else ""
                yield SystemCommand(action.title, action.help + keys, partial(self.run_action, action.name))
        for pane in PANES:
            yield SystemCommand(f"Pane {pane.name}", pane.help, partial(self.action_pane, pane.name))

    def action_theme(self) -> None:
        """Dark, light, or the terminal's own colours."""
        names = list(PALETTES)
        self.use_theme(names[(names.index(self.theme) + 1) % len(names)])

    def use_theme(self, name: str) -> None:
        """Change the colours; what was drawn in the old ones is drawn again."""
        self.theme = name
        self.rows.forget()

    def action_help_quit(self) -> None:
        """Ctrl-C copies nothing and ends nothing here; say what does."""
        self.say("q quits")

    @on(Footer.Pressed)
    async def _footer_pressed(self, message: Footer.Pressed) -> None:
        await self.run_action(message.action)

    # The command line

    def action_command(self) -> None:
        """Type a command."""
        self.footer.display = False
        self.command_bar.open()

    @on(CommandBar.Offered)
    def _offered(self, message: CommandBar.Offered) -> None:
        self.say("  ".join(message.names))

    @on(CommandBar.Entered)
    def _entered(self, message: CommandBar.Entered) -> None:
        self.command_bar.close()
        self.footer.display = True
        self.rows.focus()
        if message.line:
            try:
                commands.run(self, message.line)
            except TensorsharkError as error:
                self.say(safe_text(str(error), 200))

    def number_of(self, trace: str) -> int:
        """A trace's number by its id; 0 when there is no such trace."""
        engine = self.session.engine
        try:
            return engine.index.number_of(trace) if engine else 0
        except TensorsharkError:
            return 0


def choose_theme(environ: Mapping[str, str]) -> str:
    """The theme that suits a terminal, as far as its environment tells."""
    if asked := environ.get("TENSORSHARK_THEME"):
        return asked if asked in PALETTES else "dark"
    many = "256" in environ.get("TERM", "") or environ.get("COLORTERM", "") in ("truecolor", "24bit")
    if "NO_COLOR" in environ or not many:
        return "ansi"
    # rxvt and others say `foreground;background`; 7 and 15 are their whites.
    return "light" if environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15") else "dark"
