"""SafeApp: the base of every full-screen program here; what it shows cannot command the terminal.

Textual passes escape sequences, bidi controls and hyperlinks from any widget to the terminal, and runs
`[@click=...]` actions out of data. `safe_text` at the edge is the first line of defence. This is the last:
a filter over every segment that is painted, toasts and exit messages without markup, and crash output
without values.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from rich.cells import cell_len
from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import App
from textual.color import Color
from textual.constants import DRIVER
from textual.driver import Driver
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.worker import WorkerFailed

from tensorshark.tui import crash

MAX_CLIPBOARD = 1 << 16
"""Bytes put on the clipboard through the terminal; many terminals drop longer ones without a word."""


def printable(text: str) -> str:
    """`text` with every character that a terminal might obey taken out.

    A character that fills a cell becomes `�`, so that what follows stays in its column. Unlike `safe_text`
    this loses what it replaces: it is for what slipped by, and text that was made safe passes unchanged.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else "�" * cell_len(char)
        for char in text
    )


class Sanitise(LineFilter):
    """The last thing every painted line goes through: no control characters, links or actions."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments where they are harmless, else harmless ones of the same width."""
        if all(_harmless(segment) for segment in segments):
            return segments
        return [
            segment if _harmless(segment) else Segment(printable(segment.text), _plain(segment.style))
            for segment in segments
        ]


def _harmless(segment: Segment) -> bool:
    text, style, control = segment
    if control or not text.isprintable():
        return False
    # Meta is pickled; the key of an action starts with "@", the keys of positions do not.
    return style is None or not (style._link or (style._meta is not None and b"@" in style._meta))


@lru_cache(1024)
def _plain(style: Style | None) -> Style | None:
    """`style` without its link and its actions."""
    if style is None:
        return None
    meta = {key: value for key, value in style.meta.items() if not key.startswith("@")}
    plain = style.clear_meta_and_links()
    return plain + Style(meta=meta) if meta else plain


_SANITISE = Sanitise()  # one instance: Textual caches filtered lines by filter


class SafeApp(App[None]):
    """An App that survives what captures and terminals throw at it."""

    NAME = "workbench"
    """What a crash report says was running."""

    _farewell = ""
    """What is left to say when the screen is restored."""

    def get_driver_class(self) -> type[Driver]:
        """SafeDriver, unless the environment names another one (textual-serve does)."""
        if DRIVER is not None:
            return super().get_driver_class()
        from tensorshark.tui.driver import SafeDriver

        return SafeDriver

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Every widget asks here before it paints a line."""
        return [*super().get_line_filters(), _SANITISE]

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast; markup in it is text, whatever the caller says."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """Leave; a message that is a str is printed as it is, without markup or control characters."""
        if isinstance(message, str):
            message = Text("\n".join(printable(line) for line in message.split("\n")))
        super().exit(result, return_code, message)

    def copy_to_clipboard(self, text: str) -> None:
        """Put printable `text` on the clipboard through the terminal (OSC 52), or say why not."""
        text = "\n".join(printable(line) for line in text.split("\n"))
        if len(text.encode()) > MAX_CLIPBOARD:
            self.notify(f"not copied: longer than {MAX_CLIPBOARD:,} bytes", severity="warning")
            return
        super().copy_to_clipboard(text)

    def _handle_exception(self, error: Exception) -> None:
        """Anything raised in a handler, a render or a worker ends here: say where, not with what.

        Only the first is reported: what follows is usually its consequence.
        """
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
            cause = error.error if isinstance(error, WorkerFailed) else error
            self._return_code = crash.exit_code(cause)
            self._farewell = crash.report(cause, self.NAME)
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        """After the screen is restored; the terminal may be gone by then."""
        with suppress(OSError):
            super()._print_error_renderables()
        if self._farewell:
            crash.say(self._farewell)
            self._farewell = ""
