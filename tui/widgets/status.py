"""The lines around the panes: title, heading with tabs, status and footer keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from tensorshark.traces.text import safe_text, token_text
from tensorshark.tui.actions import ACTIONS, PANES
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.widgets.line import Line, Part, spread, width_of


@dataclass
class ScreenState:
    """What the lines say, in one place; the app changes it and calls `update` on them."""

    name: str = ""
    """The capture's folder."""
    models: tuple[str, ...] = ()
    """Name and size of each model, as words."""
    total: int = 0
    """Traces in the capture."""
    shown: int = 0
    """Traces that pass the filter."""
    marked: int = 0
    """Traces with an amber dot."""
    sort: str = ""
    """Field expression that the list is in order of; empty for capture order."""
    descending: bool = False
    """True for largest first."""
    order: str = ""
    """The order in words, when it is not capture order."""
    rate: float = 0.0
    """New traces per second while a capture is being written."""
    live: bool = False
    """True when traces came in lately."""
    catching_up: bool = True
    """True until the index has taken in what was there when the capture was opened."""
    tail: bool = False
    """True when the cursor stays on the newest."""
    problem: str = ""
    """What is wrong with the capture as a whole."""
    say: str = ""
    """An answer to the last key; gone with the next one."""
    busy: str = ""
    """What is being waited for, when it takes long enough to say so."""
    cursor: Cursor = field(default_factory=Cursor)
    """Where the analyst is."""
    token: str = ""
    """The token under the cursor."""
    heads: int = 0
    """Attention heads of the model; 0 when there is no trace."""


class TitleLine(Line):
    """Which capture, which model, and whether more is coming."""

    def __init__(self, state: ScreenState, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state = state

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Left: name and models. Right: live or not."""
        palette, state = self.palette, self.state
        left = [
            Part("tensorshark", palette.style("accent", bold=True)),
            Part(f" {safe_text(state.name)}", palette.style("text")),
        ]
        if state.models:
            more = f" and {len(state.models) - 1} more" if len(state.models) > 1 else ""
            name, _, size = state.models[0].partition(" · ")
            left.append(Part(f"  {name}{more}", palette.style("dim"), 1))
            if size and not more:
                left.append(Part(f" · {size}", palette.style("dim"), 2))
        right = []
        if state.problem:
            right.append(Part(f"✗ {state.problem}", palette.style("bad", bold=True)))
        elif state.live:
            right += [Part("●", palette.style("good")), Part(" live", palette.style("text"))]
            if state.rate >= 0.05:
                right.append(Part(f"  +{state.rate:.3g}/s", palette.style("dim"), 3))
        if state.tail:
            right.append(Part("  tail", palette.style("accent")))
        return left, right


class Tabs(Line):
    """The panes' names; the one on show is filled in. A click brings one up."""

    @dataclass
    class Pressed(Message):
        """A tab was clicked."""

        name: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.names: tuple[str, ...] = tuple(pane.name for pane in PANES[1:])
        self.chosen = "Norms"

    def parts(self) -> tuple[list[Part], list[Part]]:
        """One part per tab; where it is narrow the blanks around the names go."""
        palette = self.palette
        room = self.size.width - 2
        blank = "  " if sum(len(name) + 4 for name in self.names) <= room else " "
        parts = []
        for name in self.names:
            if name == self.chosen:
                style = palette.style("text", reverse=True, bold=True)
                if not palette.ansi:
                    style = palette.style("on_accent", "accent", bold=True)
                parts.append(Part(f"{blank}{name}{blank}", style))
            else:
                parts.append(Part(f"{blank}{name}{blank}", palette.style("dim")))
        return parts, []

    def on_click(self, event: events.Click) -> None:
        """Tell which tab was clicked."""
        x = 1
        for name, part in zip(self.names, self.parts()[0], strict=True):
            x += width_of(part.text)
            if event.x < x:
                self.post_message(self.Pressed(name))
                return


class StatusLine(Line):
    """On the left the list, on the right the cursor; an answer to the last key takes the left side."""

    def __init__(self, state: ScreenState, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state = state

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Counts and order, then layer, token and site."""
        palette, state = self.palette, self.state
        text, dim = palette.style("text"), palette.style("dim")
        if state.busy or state.say:
            left = [Part(state.busy or state.say, palette.style("amber"))]
        else:
            left = [Part(f"traces {state.total:,}", text)]
            if state.catching_up and state.total:
                left.append(Part(" and counting", dim))
            if state.total:
                share = f" ({_percent(state.shown, state.total)})" if state.shown != state.total else ""
                left.append(Part(f" · displayed {state.shown:,}", text))
                left.append(Part(share, dim, 4))
            if state.marked:
                left.append(Part(f" · marked {state.marked:,}", palette.style("amber"), 2))
            if state.order:
                left.append(Part(f" · by {state.order}", dim, 3))
        return left, self._where()

    def _where(self) -> list[Part]:
        palette, state = self.palette, self.state
        cursor, accent = state.cursor, palette.style("accent")
        if not cursor.trace:
            return []
        right = [Part(f"layer {cursor.layer}", accent), Part(f" · token {cursor.token}", accent)]
        if state.token:
            right.append(Part(f" “{token_text(state.token, 24)}”", accent, 5))
        right.append(Part(f" · {cursor.site}", accent))
        if state.heads:
            right.append(Part(f" · head {cursor.head}", palette.style("dim"), 6))
        return right


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or not share else f"{share:.2g} %"


class Footer(Line):
    """Keys worth knowing; fewer where there is less room. A click does what the key does."""

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Key and word per entry, on the left."""
        return [
            Part(text, self.palette.style("accent" if key else "dim", bold=key), rank)
            for text, key, rank, _ in self._entries()
        ], []

    def _entries(self) -> list[tuple[str, bool, int, str]]:
        """(text, is a key, rank, action) in order; neighbours with the same word share it."""
        shown = [action for action in ACTIONS if action.footer]
        entries: list[tuple[str, bool, int, str]] = []
        for index, action in enumerate(shown):
            last = index + 1 == len(shown) or shown[index + 1].footer != action.footer
            entries.append((action.shown + (" " if not last else ""), True, action.rank, action.name))
            if last:
                end = "" if index + 1 == len(shown) else "  "
                entries.append((f" {action.footer}{end}", False, action.rank, action.name))
        return entries

    def on_click(self, event: events.Click) -> None:
        """Do what the entry under the pointer says."""
        entries = {(text, rank): name for text, _, rank, name in self._entries()}
        x = 1
        for segment in spread(*self.parts(), self.size.width - 2, self.GAP):
            x += width_of(segment.text)
            if event.x < x:
                name = next((name for (text, _), name in entries.items() if text == segment.text), "")
                if name:
                    self.post_message(self.Pressed(name))
                return

    @dataclass
    class Pressed(Message):
        """A footer entry was clicked."""

        action: str


class Heading(Line):
    """A word over a part of the screen, in the accent colour while that part has the focus."""

    def __init__(self, words: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = words
        self.here = False

    def parts(self) -> tuple[list[Part], list[Part]]:
        """The word."""
        return [Part(self.words, self.palette.style("accent" if self.here else "text", bold=True))], []


class Notice(Line):
    """Words in the middle of an otherwise empty screen: how large the terminal must be."""

    DEFAULT_CSS = "Notice { height: 1fr; display: none; }"

    def __init__(self, width: int, height: int, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.needed = (width, height)

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Which size it is and which it must be."""
        size, (width, height) = self.app.size, self.needed
        words = f"{size.width}x{size.height}; tensorshark needs {width}x{height}"
        return [Part(words, self.palette.style("text"))], []

    def render_line(self, y: int) -> Strip:
        """Textual's line API: the words in the middle line."""
        width = self.size.width
        if y != self.size.height // 2:
            return Strip.blank(width, self.rich_style)
        text = self.parts()[0][0].text[:width]
        left = (width - len(text)) // 2
        return Strip([Segment(" " * left + text)]).adjust_cell_length(width).apply_style(self.rich_style)
