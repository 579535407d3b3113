"""The terminal driver: survives bad input, a vanished terminal and signals, and always restores the screen.

Textual's own driver ends the program on one invalid UTF-8 byte or an impossible key code, types the answers
that terminals send (OSC, DCS) into the app as keys, spins when its input is at an end, and leaves the
terminal in raw mode on SIGHUP or SIGTERM. Textual is pinned (`~=8.2`); tests/pty shows that all this holds.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import IO, Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import Keys
from textual.message import Message

from tensorshark.tui.thrift import thrifty

GRACE = 1.2
"""Seconds that a signal leaves for an orderly exit; then the terminal is restored by force."""
MAX_PASTE = 1 << 16
"""Characters of a paste that are used; nothing here takes a longer one."""
MAX_CELLS = 4096
"""Columns or rows above which a resize report is not believed."""
LEAVING = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
RESTORE = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h"
)
"""Undoes every mode that Textual's driver sets."""


class StringGuard:
    """Takes OSC, DCS, SOS, PM and APC strings out of what the terminal sends; we never ask for one.

    Such a string ends with BEL, ST, CAN or SUB, at any other escape sequence, or when nothing follows.
    """

    _start = re.compile("\x1b[\\]PX^_]")
    _end = re.compile("[\x07\x18\x1a\x9c]|\x1b\\\\|\x1b(?=.)", re.DOTALL)

    def __init__(self) -> None:
        self._inside = False
        self._held = ""
        self._after_escape = False

    def feed(self, text: str) -> str:
        """`text` without strings; state is kept between calls."""
        text, self._held = self._held + text, ""
        out: list[str] = []
        at = 0
        if self._after_escape and not self._inside and text[:1] in set("]PX^_"):
            self._inside, at = True, 1
        while at < len(text):
            match = (self._end if self._inside else self._start).search(text, at)
            if match is None:
                if not self._inside:
                    out.append(text[at:])
                elif text.endswith("\x1b"):
                    self._held = "\x1b"
                break
            if self._inside:
                at = match.start() if match[0] == "\x1b" else match.end()
            else:
                out.append(text[at : match.start()])
                at = match.end()
            self._inside = not self._inside
        kept = "".join(out)
        self._after_escape = kept.endswith("\x1b")
        return kept

    def idle(self) -> str:
        """Nothing came for a while: an open string is over. Returns an escape key that was held back."""
        text, self._held = self._held, ""
        self._inside = self._after_escape = False
        return text


class SafeParser(XTermParser):
    """Key sequences with impossible code points are ignored instead of raising."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> list[events.Key]:
        try:
            keys = list(super()._sequence_to_key_events(sequence, alt))
        except (ValueError, OverflowError):
            return [events.Key(Keys.Ignore, sequence)]
        if any("\ud800" <= (key.character or "") <= "\udfff" for key in keys):
            return [events.Key(Keys.Ignore, sequence)]
        return keys


class Tty:
    """The terminal as a file to write to; when it is gone, writing goes nowhere instead of raising."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write all of `text`."""
        try:
            self._file.write(text)
        except OSError:
            self._let_go()

    def flush(self) -> None:
        """Flush what was written."""
        try:
            self._file.flush()
        except OSError:
            self._let_go()

    def fileno(self) -> int:
        """The file descriptor."""
        return self._file.fileno()

    def _let_go(self) -> None:
        """Point the descriptor at the null device, so that what is still buffered can be flushed at exit."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class SafeDriver(LinuxDriver):
    """Textual's Linux driver with the guards that this module is about."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert sys.__stderr__ is not None  # open.py has checked that it is a terminal
        self._tty = Tty(sys.__stderr__)
        self._file = self._tty  # type: ignore[assignment]
        self._handlers: dict[signal.Signals, Any] = {}

    def _get_terminal_size(self) -> tuple[int, int]:
        """(columns, rows) of the terminal itself: COLUMNS and LINES, where a shell exports them, go stale."""
        for fileno in (self._tty.fileno(), self.fileno):
            with suppress(OSError):
                columns, rows = os.get_terminal_size(fileno)
                if columns and rows:
                    return columns, rows
        return 80, 24

    def start_application_mode(self) -> None:
        """Take the terminal over, and the signals that would leave it in raw mode."""
        for number in LEAVING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._handlers[number] = signal.signal(number, self._on_signal)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        """Write a frame, in fewer bytes."""
        super().write(thrifty(data))

    def close(self) -> None:
        """Give signals back and finish writing."""
        super().close()
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._leave(128 + number)

    def _leave(self, code: int) -> None:
        """Ask the app to exit with `code`; make sure that the process does."""
        threading.Thread(target=self._insist, args=(code,), daemon=True, name="exit-watchdog").start()
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._app.exit, None, code)

    def _insist(self, code: int) -> None:
        """Runs in a thread. The process is usually gone before the wait is over."""
        time.sleep(GRACE)
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        out = self._tty.fileno()
        with suppress(OSError):
            if select.select([], [out], [], 0)[1]:
                os.write(out, RESTORE)
        os._exit(code)

    def run_input_thread(self) -> None:
        """Read the terminal until told to stop; its end is a hang-up."""
        decode = getincrementaldecoder("utf-8")("replace").decode
        strings, parser = StringGuard(), SafeParser(self._debug)
        while not self.exit_event.is_set():
            if not select.select([self.fileno], [], [], 0.1)[0]:
                parser = self._dispatch(parser, strings.idle())
                continue
            try:
                data = os.read(self.fileno, 4096)
            except OSError:
                data = b""
            if not data:
                self._leave(128 + signal.SIGHUP)
                return
            parser = self._dispatch(parser, strings.feed(decode(data)))

    def _dispatch(self, parser: SafeParser, text: str) -> SafeParser:
        """Parse `text` and send the events; returns the parser to go on with."""
        try:
            # An empty text would tell the parser that its input is over.
            self._send_all(parser.feed(text) if text else ())
            self._send_all(parser.tick())
        except Exception:
            # A sequence that the parser cannot take leaves it unusable: forget the rest of what was read.
            return SafeParser(self._debug)
        return parser

    def _send_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if isinstance(message, events.Resize) and not _believable(message):
                continue
            if isinstance(message, events.Paste) and len(message.text) > MAX_PASTE:
                message = events.Paste(message.text[:MAX_PASTE])
                self._loop.call_soon_threadsafe(self._say_clipped)
            self.process_message(message)

    def _say_clipped(self) -> None:
        self._app.notify(f"only the first {MAX_PASTE:,} characters were pasted", severity="warning")


def _believable(resize: events.Resize) -> bool:
    return 0 < resize.size.width <= MAX_CELLS and 0 < resize.size.height <= MAX_CELLS
