"""The display filter: the line, what it means in words, what is wrong with it, and how it could go on.

While typing nothing is filtered; the line says what it would do. Enter applies it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.highlighter import Highlighter
from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from tensorshark.traces.text import safe_text
from tensorshark.tui.messages import FilterSubmitted, FilterTyped
from tensorshark.tui.palette import Palette, palette_of
from tensorshark.tui.widgets.line import Line, Part, clip, fit, width_of

if TYPE_CHECKING:
    from tensorshark.forensics.filter import Check, Completion

LABEL = "Filter "
"""In front of the line; what stands below is set in by as much."""
HINT = '/ to type one, e.g. label.category == "injection"'
"""Stands in the line while nothing does."""
KEEP = 100
"""Filters that are remembered, for the arrow keys."""
STATES = {
    "": "dim",
    "empty": "dim",
    "ok": "good",
    "incomplete": "amber",
    "bad": "bad",
    "slow": "amber",
    "old": "violet",
}
"""Each state's colour; the state's own word always stands beside it."""

_TOKENS = re.compile(
    r"""(?P<string>r?"(?:[^"\\]|\\.)*"?|r?'(?:[^'\\]|\\.)*'?)"""
    r"|(?P<word>\b(?:and|or|not|in|contains|matches|any|all|has|max|min|mean|abs|len|count)\b)"
    r"|(?P<index>\#-?\d+|\#?\[[^\]]*\]?)"
    r"|(?P<field>\b[A-Za-z_][\w.\-]*)"
    r"|(?P<number>\b\d+(?:\.\d+)?\b)"
)
_COLORS = {"string": "amber", "word": "violet", "index": "amber", "field": "accent", "number": "text"}


class FilterHighlighter(Highlighter):
    """Colours for reading, from the look of the words alone; whether they are right is the check's to say."""

    def __init__(self, bar: FilterInput) -> None:
        self._bar = bar

    def highlight(self, text: Text) -> None:
        """Style the words of a filter in place."""
        palette = self._bar.palette
        for match in _TOKENS.finditer(text.plain):
            text.stylize(palette.style(_COLORS[match.lastgroup or "number"]), match.start(), match.end())


class FilterInput(Input):
    """The line itself; arrow keys walk the completions while there are any, else the history."""

    DEFAULT_CSS = """
    FilterInput, FilterInput:focus {
        border: none; padding: 0; height: 1; width: 1fr;
        background: transparent; background-tint: transparent;
    }
    """

    BINDINGS: ClassVar[list[Any]] = [
        Binding("up", "back(-1)", show=False),
        Binding("down", "back(1)", show=False),
        Binding("tab", "complete", show=False),
        Binding("escape", "leave", show=False),
    ]

    @dataclass
    class Left(Message):
        """Escape was pressed with nothing left to close."""

    def __init__(self, completions: Completions, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder=HINT, select_on_focus=False, compact=True, max_length=4096)
        self.cursor_blink = False
        self.highlighter = FilterHighlighter(self)
        self.completions = completions
        self._history: list[str] = []
        self._at = 0
        self._draft = ""

    @property
    def palette(self) -> Palette:
        """The colours of the theme in use."""
        return palette_of(self.app.theme)

    def put(self, text: str) -> None:
        """Replace the text, with the caret at its end."""
        self.value = text
        self.cursor_position = len(text)

    def remember(self, text: str) -> None:
        """Add an applied filter to the history."""
        if text and text not in self._history[-1:]:
            self._history = [*self._history, text][-KEEP:]
        self._at = len(self._history)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Ask what the text means so far."""
        event.stop()
        self.post_message(FilterTyped(self.value, self.cursor_position, self._history[::-1]))

    async def action_submit(self) -> None:
        """Enter: take the completion that was walked to, else apply the filter."""
        if self.completions.walked:
            self.action_complete()
        else:
            self.completions.close()
            self.post_message(FilterSubmitted(self.value))

    def action_complete(self) -> None:
        """Tab: take the completion; the first one when none was walked to."""
        taken = self.completions.taken
        if taken is None:
            self.post_message(FilterTyped(self.value, self.cursor_position, self._history[::-1]))
            return
        self.completions.close()
        self.value = self.value[: taken.start] + taken.text + self.value[taken.stop :]
        self.cursor_position = taken.start + len(taken.text)

    def action_back(self, step: int) -> None:
        """Arrows: walk the completions, else the history."""
        if self.completions.items:
            self.completions.walk(step)
            return
        if self._at == len(self._history):
            self._draft = self.value
        self._at = max(0, min(len(self._history), self._at + step))
        self.put(self._history[self._at] if self._at < len(self._history) else self._draft)

    def action_leave(self) -> None:
        """Escape: close the completions, else leave the line."""
        if self.completions.items:
            self.completions.close()
        else:
            self.post_message(self.Left())

    def on_resize(self) -> None:
        """The state on the right took or gave room: keep the caret in sight."""
        at = width_of(self.value[: self.cursor_position])
        self.scroll_to_region(Region(at, 0, 2, 1), force=True, animate=False)

    def on_focus(self) -> None:
        """Typing goes on where it ended."""
        self.cursor_position = len(self.value)

    def on_blur(self) -> None:
        """A filter is read from its beginning; there is nothing to complete where nothing is typed."""
        self.cursor_position = 0
        self.completions.close()


class Completions(Widget):
    """How the word at the caret could go on: a short list that floats below the line and its words."""

    DEFAULT_CSS = "Completions { layer: above; display: none; position: absolute; }"
    MOST = 8
    """Lines shown at a time."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.items: list[Completion] = []
        self.at = 0
        self.walked = False
        """True once an arrow key chose among them: then Enter takes one."""

    @property
    def taken(self) -> Completion | None:
        """The one Tab takes."""
        return self.items[self.at] if self.items else None

    def show(self, items: list[Completion], x: int, y: int) -> None:
        """Offer these at a place on the screen; none closes the list."""
        if not items:
            self.close()
            return
        self.items, self.at, self.walked = items, 0, False
        width = max(width_of(item.text) for item in items) + max(width_of(_about(item)) for item in items) + 5
        width = min(width, 64, self.screen.size.width)
        self.styles.width, self.styles.height = width, min(len(items), self.MOST)
        self.styles.offset = (max(0, min(x, self.screen.size.width - width)), y)
        self.display = True
        self.refresh()

    def walk(self, step: int) -> None:
        """Choose the next or the previous one."""
        self.at = (self.at + step) % len(self.items)
        self.walked = True
        self.refresh()

    def close(self) -> None:
        """Take the list off the screen."""
        self.items, self.walked = [], False
        self.display = False

    def render_line(self, y: int) -> Strip:
        """Textual's line API: the completion, and what it is on the right."""
        palette, width = palette_of(self.app.theme), self.size.width
        index = y + max(0, self.at - self.MOST + 1)
        if index >= len(self.items):
            return Strip.blank(width, self.rich_style)
        item, here = self.items[index], index == self.at
        about = clip(_about(item), max(0, width - width_of(item.text) - 5))
        name = fit(safe_text(item.text, 256), width - width_of(about) - 4)
        style, quiet = palette.style("text", bold=here), palette.style("text" if here else "dim")
        strip = Strip(
            [Segment("▸" if here else " ", style), Segment(f"{name}  ", style), Segment(f"{about} ", quiet)]
        )
        strip = strip.apply_style(self.rich_style)
        return Strip(Segment.apply_style(strip, None, palette.selected)) if here else strip

    def on_click(self, event: events.Click) -> None:
        """Take the one under the pointer."""
        self.at = min(len(self.items) - 1, event.y + max(0, self.at - self.MOST + 1))
        self.screen.query_one(FilterInput).action_complete()


def _about(item: Completion) -> str:
    return safe_text(item.detail or item.kind, 256)


class FilterState(Line):
    """Right of the line: what the text is, in one word, and how many it lets through."""

    DEFAULT_CSS = "FilterState { width: auto; min-width: 8; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state = "empty"
        self._width = 0
        self.count = ""
        """What follows the word: `8 of 16`, or what Enter would do."""

    def parts(self) -> tuple[list[Part], list[Part]]:
        """The state's word, then the count."""
        palette = self.palette
        words = [Part(self.state, palette.style(STATES[self.state], bold=self.state == "bad"))]
        if self.count:
            words.append(Part(f" · {self.count}", palette.style("dim"), 1))
        return [], words

    def update(self) -> None:
        """Draw again, and take as much room as the words need."""
        width = self.get_content_width(None, None)
        if width != self._width:
            self._width = width
            self.refresh(layout=True)
        super().update()

    def get_content_width(self, container: Any, viewport: Any) -> int:
        """As wide as the words are."""
        return sum(width_of(part.text) for part in self.parts()[1]) + 2


class FilterWords(Line):
    """Below the line: the filter in words, or a caret under the trouble and the reason."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = ""
        self.reason = ""
        self.column = 0
        """Cells from the left edge of the input to the trouble."""
        self.length = 1
        self.state = ""

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Words are set in below the filter's text; a reason follows its caret where there is room."""
        palette = self.palette
        if not self.reason:
            return [Part(" " * len(LABEL) + self.words, palette.style("dim"))], []
        style = palette.style(STATES.get(self.state, "bad"))
        if self.state == "slow":
            return [Part(" " * len(LABEL) + self.reason, style)], []
        room = self.size.width - 2
        at = min(len(LABEL) + max(0, self.column), max(0, room - 1))
        caret = "^" * max(1, min(self.length, room - at))
        if at + len(caret) + 1 + width_of(self.reason) <= room or at < width_of(self.reason) + 1:
            return [Part(" " * at + caret, style), Part(f" {self.reason}", style)], []
        return [Part(fit(self.reason, at - 1, right=True) + " ", style), Part(caret, style)], []

    def say(self, check: Check, column: int, length: int) -> None:
        """Take over what the check says; `column` and `length` are in cells on the screen."""
        trouble = check.state in ("bad", "incomplete", "slow", "old")
        hint = f"{check.reason} · " * (check.state == "ok" and bool(check.reason))
        self.words, self.state = safe_text(hint + check.words), check.state
        self.reason = safe_text(check.reason) if trouble else ""
        self.column, self.length = column, length
        self.update()
