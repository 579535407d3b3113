"""SafeApp in a real terminal: hostile text, signals, hang-ups, bad input and crashes."""

from __future__ import annotations

import os
import signal
import stat
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.pty

APP = """
import sys, time
from textual.content import Content
from textual.widgets import Static
from tensorshark.tui.terminal import SafeApp

class Small(SafeApp):
    BINDINGS = [("n", "note", ""), ("x", "crash", ""), ("w", "hang", ""), ("t", "thread", "")]

    def compose(self):
        yield Static("READY", id="ready")

    def on_key(self, event):
        self.query_one("#ready").update(Content(f"READY key={event.key}"))

    def action_note(self):
        self.notify(sys.argv[1] if len(sys.argv) > 1 else "note")

    def action_crash(self):
        secret = "canary-local"
        raise ValueError("canary-message " + secret)

    def action_hang(self):
        time.sleep(60)

    def action_thread(self):
        self.run_worker(self.fail, thread=True)

    def fail(self):
        raise KeyError("canary-worker")

app = Small()
app.run()
raise SystemExit(app.return_code)
"""

SINKS = """
import json, sys
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Input, Label, Static, Tree, Log, RichLog, TextArea, OptionList, Header
from tensorshark.tui.terminal import SafeApp

texts = json.loads(sys.argv[1])

class Sinks(SafeApp):
    def compose(self):
        yield Header()
        with VerticalScroll():
            for text in texts:
                yield Static(Text(text))
                yield Label(text, markup=False)
                yield Input(value=text, placeholder=text)
                yield Log()
                yield RichLog()
                yield TextArea(text)
                yield OptionList(Text(text))
                tree = Tree(Text(text))
                tree.root.add_leaf(Text(text))
                yield tree
                box = Static("x")
                box.border_title = Text(text).plain.replace("[", "(")
                yield box
            yield DataTable()

    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_column("c")
        for text in texts:
            table.add_row(Text(text))
            self.notify(text, title=text, timeout=60)
        for text, log, rich in zip(texts, self.query(Log), self.query(RichLog)):
            log.write_line(text)
            rich.write(Text(text))
        self.title = self.sub_title = texts[0]
        self.set_timer(0.3, self.finish)

    def finish(self):
        self.query_one(VerticalScroll).scroll_end(animate=False)
        self.set_timer(0.3, lambda: self.exit(message="DONE " + "\\n".join(texts)))

app = Sinks()
app.run()
"""

CLICK = """
from textual.widgets import DataTable, Static
from tensorshark.tui.terminal import SafeApp

class Click(SafeApp):
    def compose(self):
        yield Static("[@click=app.exit(None, 9)]STATIC[/]")
        yield DataTable()

    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_column("head")
        table.add_row("[@click=app.exit(None, 9)]CELL[/] [link=http://pwned.example]LINK[/link]")

app = Click()
app.run()
raise SystemExit(app.return_code)
"""


@pytest.fixture
def small(terminal: Callable[..., Any]) -> Callable[..., Any]:
    """The small app, up and running."""

    def start(*words: str, **size: Any) -> Any:
        one = terminal(*words, script=APP, **size)
        one.until("READY")
        one.pump(0.1)
        return one

    return start


def assert_restored(one: Any) -> None:
    """The terminal is as it was: settings, main screen, cursor, mouse, paste and keyboard modes."""
    assert termios.tcgetattr(one.fd) == one.before
    after = bytes(one.raw)
    for on, off in {
        b"\x1b[?1049h": b"\x1b[?1049l",
        b"\x1b[?25l": b"\x1b[?25h",
        b"\x1b[?1000h": b"\x1b[?1000l",
        b"\x1b[?1003h": b"\x1b[?1003l",
        b"\x1b[?2004h": b"\x1b[?2004l",
        b"\x1b[>25u": b"\x1b[<u",
        b"\x1b[?7l": b"\x1b[?7h",
    }.items():
        assert after.rindex(off) > after.rindex(on)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_restores_the_terminal(small: Callable[..., Any], number: signal.Signals) -> None:
    one = small()
    one.kill(number)
    assert one.wait(2) == 128 + number
    assert_restored(one)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_restores_the_terminal_when_the_app_hangs(
    small: Callable[..., Any], number: signal.Signals
) -> None:
    one = small()
    one.feed(b"w")
    one.pump(0.3)
    one.kill(number)
    assert one.wait(2) == 128 + number
    assert_restored(one)


def test_a_closed_terminal_ends_the_app(small: Callable[..., Any]) -> None:
    one = small()
    one.hang_up()
    assert one.wait(2) == 128 + signal.SIGHUP


def test_a_closed_terminal_ends_an_app_that_ignores_hang_ups(terminal: Callable[..., Any]) -> None:
    """As under nohup: the end of the input is enough."""
    one = terminal(script="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + APP)
    one.until("READY")
    one.hang_up()
    assert one.wait(2) == 128 + signal.SIGHUP


def test_a_terminal_that_stopped_reading_does_not_hold_the_app(small: Callable[..., Any]) -> None:
    one = small()
    for _ in range(200):  # make it write, and never read what it writes
        os.write(one.fd, b"ab")
        one.resize(40, 100 + _ % 20)
        time.sleep(0.01)
    one.kill(signal.SIGTERM)
    start = time.monotonic()
    while one.runs():
        assert time.monotonic() - start < 2
        time.sleep(0.02)


def test_stop_and_continue(small: Callable[..., Any]) -> None:
    """Ctrl-Z gives the terminal back; `fg` draws the screen again."""
    one = small()
    one.kill(signal.SIGTSTP)
    one.until(lambda: b"\x1b[?1049l" in one.raw, 5)
    one.pump(0.3)
    assert termios.tcgetattr(one.fd) == one.before
    one.raw.clear()
    one.kill(signal.SIGCONT)
    one.until(lambda: b"\x1b[?1049h" in one.raw, 5)
    one.feed(b"k")
    one.until("key=k")
    one.kill(signal.SIGTERM)
    assert one.wait(2) == 143


JUNK = {
    "byte": b"\xff",
    "truncated": b"\xc3\x28\xe2\x82",
    "short": b"\xf0\x9f",
    "code point": b"\x1b[1114112u",
    "huge code": b"\x1b[99999999999u",
    "surrogate text": b"\x1b[97;1;55296u",
    "surrogate": b"\x1b[55296u",
    "empty codes": b"\x1b[;;u\x1b[:::u\x1b[1;99999999999999999u",
    "mouse": b"\x1b[<99999999999;1;1M\x1b[<0;0;0M\x1b[<0;99999;99999m",
    "zero size": b"\x1b[48;0;0;0;0t\x1b[<0;1;1M",
    "huge size": b"\x1b[48;99999999;99999999;1;1t",
    "endless OSC": b"\x1b]52;c;" + b"q" * 300_000,
    "colour answer": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    "version answer": b"\x1bP>|xterm(370)\x1b\\",
    "kitty answer": b"\x1b_Gi=1;OK\x1b\\",
    "OSC in a paste": b"\x1b[200~" + b"\x1b]0;q" * 100 + b"\x1b[201~",
    "high bytes": bytes(range(128, 256)) * 8,
}


@pytest.mark.parametrize("name", JUNK)
def test_bad_input_is_survived(small: Callable[..., Any], name: str) -> None:
    one = small()
    one.feed(JUNK[name])
    one.pump(0.4)
    one.feed(b"k")
    one.until("key=k", 5)
    one.kill(signal.SIGTERM)
    assert one.wait(2) == 143


def test_what_terminals_answer_is_not_typed(small: Callable[..., Any]) -> None:
    """Answers to colour and version queries, whole or cut anywhere, are no keys."""
    one = small()
    answer = b"\x1b]11;rgb:1e1e/1e1e/2e2e\x07\x1bP>|term 1\x1b\\"
    for cut in range(2, len(answer) - 1, 5):
        one.feed(answer[:cut])
        one.pump(0.01)
        one.feed(answer[cut:])
    one.pump(0.5)
    assert "key=" not in one.text
    one.feed(b"k")
    one.until("key=k", 5)


@pytest.mark.parametrize("key", [b"x", b"t"])
def test_a_crash_says_where_and_not_what(small: Callable[..., Any], key: bytes, tmp_path: Path) -> None:
    one = small()
    one.feed(key)
    assert one.wait(5) == 70
    assert_restored(one)
    assert b"internal error: " + (b"ValueError" if key == b"x" else b"KeyError") in one.raw
    (log,) = (tmp_path / "state" / "tensorshark").iterdir()
    assert log.name.encode() in one.raw
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    kept = log.read_text()
    assert "in action_crash" in kept or "in fail" in kept
    assert "canary" not in kept
    assert b"canary" not in one.raw


def test_no_widget_passes_control_characters(
    terminal: Callable[..., Any], hostile: dict[str, str], intruders: Callable[[bytes], list[str]]
) -> None:
    """Without safe_text, straight into widgets, toasts, titles and the exit message: the last line holds."""
    import json

    one = terminal(json.dumps([text[:2000] for text in hostile.values()]), script=SINKS, rows=60, columns=160)
    assert one.wait(60) == 0
    assert intruders(bytes(one.raw)) == []
    assert b"DONE" in one.raw


def test_no_action_runs_out_of_data(
    terminal: Callable[..., Any], intruders: Callable[[bytes], list[str]]
) -> None:
    """Markup in a cell is drawn by Textual with an action behind it; clicking it must do nothing."""
    one = terminal(script=CLICK)
    one.until("CELL")
    for name in ("STATIC", "CELL", "LINK"):
        row = next(row for row, line in enumerate(one.screen.display) if name in line)
        column = one.screen.display[row].index(name)
        one.feed(f"\x1b[<0;{column + 2};{row + 1}M\x1b[<0;{column + 2};{row + 1}m".encode())
        one.pump(0.4)
    one.kill(signal.SIGTERM)
    assert one.wait(2) == 143
    assert intruders(bytes(one.raw)) == []


def test_the_size_is_the_terminals_whatever_the_environment_says(small: Callable[..., Any]) -> None:
    """A shell that exports COLUMNS would otherwise fix the size for good."""
    one = small(env={"COLUMNS": "30", "LINES": "5"}, rows=40, columns=120)
    assert b"\x1b[40;1H" in one.raw
    one.resize(50, 100)
    one.until(lambda: b"\x1b[50;1H" in one.raw, 5)


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (300, 20), (24, 80)])
def test_any_size(small: Callable[..., Any], size: tuple[int, int]) -> None:
    one = small()
    one.resize(*size)
    one.pump(0.4)
    one.resize(40, 120)
    one.feed(b"k")
    one.until("key=k", 5)
