"""The workbench on a capture where every text is hostile, and through every way a terminal can treat it."""

from __future__ import annotations

import re
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.text import safe_text

pytestmark = pytest.mark.pty

Intruders = Callable[[bytes], list[str]]


@pytest.fixture
def workbench(terminal: Callable[..., Any], hostile_capture: Path) -> Callable[..., Any]:
    """Opens the hostile capture; ready when the first prompt is on the screen."""

    def start(**size: Any) -> Any:
        one = terminal(hostile_capture, **size)
        one.until(r"\x1b[38;5")
        one.pump(0.5)
        return one

    return start


def walk(one: Any, keys: bytes, seconds: float = 0.15) -> str:
    """Press keys one by one; everything that was on the screen after any of them."""
    shown = []
    for key in keys:
        one.feed(bytes([key]))
        one.pump(seconds)
        shown.append(one.text)
    return "\n".join(shown)


@pytest.mark.parametrize("size", [(24, 80), (40, 120), (50, 160)], ids=str)
def test_no_control_character_reaches_the_terminal(
    size: tuple[int, int], workbench: Callable[..., Any], intruders: Intruders, hostile: dict[str, str]
) -> None:
    """Every row, the details, every pane, help, marks, sorting, zoom."""
    one = workbench(rows=size[0], columns=size[1])
    shown = walk(one, b"j" * (len(hostile) - 1), 0.3)
    for name in ("colour", "clipboard", "bidi", "instruct", "action", "c1"):
        assert safe_text(hostile[name])[:6] in shown
    for pane in b"012345":
        walk(one, bytes([pane]) + b"gjjjjjjjjjjjdk]]lls", 0.1)
    walk(one, b"\\\\\\omOnTTT?", 0.1)
    one.feed(b"\x1b")
    one.pump(0.4)
    one.feed(b"q")
    assert one.wait(10) == 0
    assert intruders(bytes(one.raw)) == []


@pytest.mark.parametrize(
    "typed",
    [
        'label.category == "[@click=app.quit]x[/]"',
        "[INST] and [/INST]",
        'prompt contains "[b]',
        'label."\u202e" == "\u0007"',
        'prompt matches "(?i)\\x1b["',
        "\u009b31m \u0085 \u2028",
        "漢字 🙂 e\u0301\u0301",
    ],
    ids=safe_text,
)
def test_the_filter_line_echoes_and_completes_safely(
    typed: str, workbench: Callable[..., Any], intruders: Intruders
) -> None:
    """As typed, and as pasted; applied, and said in words."""
    one = workbench()
    for text in (typed.encode(), b"\x1b[200~" + typed.encode() + b"\x1b[201~"):
        one.feed(b"/")
        one.pump(0.2)
        one.feed(text)
        one.pump(0.5)
        one.feed(b"\r")
        one.pump(0.5)
        one.feed(b"\x1b")
        one.pump(0.4)
        one.feed(b"X")
        one.pump(0.3)
    one.kill(signal.SIGTERM)
    assert one.wait(3) == 143
    assert intruders(bytes(one.raw)) == []


def test_label_values_are_completed_safely(workbench: Callable[..., Any], intruders: Intruders) -> None:
    """Completion offers the labels of the capture, which are hostile."""
    one = workbench()
    one.feed(b"/")
    for key in b"label.category == ":
        one.feed(bytes([key]))
        one.pump(0.02)
    one.pump(0.8)
    for key in (b"\x1b[B", b"\x1b[B", b"\t", b"\r"):
        one.feed(key)
        one.pump(0.3)
    one.kill(signal.SIGTERM)
    assert one.wait(3) == 143
    assert intruders(bytes(one.raw)) == []


@pytest.mark.parametrize(
    "typed", ["goto \u009b2J", "filter [@click=app.quit]x[/]", "nope[b]", "theme \u202e"], ids=safe_text
)
def test_the_command_line_answers_safely(
    typed: str, workbench: Callable[..., Any], intruders: Intruders
) -> None:
    one = workbench()
    one.feed(b":")
    one.pump(0.2)
    one.feed(typed.encode())
    one.pump(0.3)
    one.feed(b"\r")
    one.pump(0.5)
    one.kill(signal.SIGTERM)
    assert one.wait(3) == 143
    assert intruders(bytes(one.raw)) == []


def test_clicking_everywhere_runs_nothing(workbench: Callable[..., Any], intruders: Intruders) -> None:
    """Actions in prompts, tokens and labels would quit or ring the bell."""
    one = workbench(rows=30, columns=110)
    for pane in b"12350":
        one.feed(bytes([pane]))
        one.pump(0.3)
        for row in range(4, 28, 2):
            for column in range(2, 110, 9):
                one.feed(f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m".encode())
            one.pump(0.15)
    one.pump(0.5)
    one.kill(signal.SIGTERM)
    assert one.wait(5) == 143, "it had ended before"
    assert intruders(bytes(one.raw)) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("keys", [b"", b"3", b"/seq", b"?"], ids=["list", "lens", "filter", "help"])
def test_signals_restore_the_terminal(
    number: signal.Signals, keys: bytes, workbench: Callable[..., Any]
) -> None:
    """Also while the lens worker is busy; and nothing of ours is left running."""
    one = workbench()
    walk(one, keys, 0.05)
    children = child_processes(one.pid)
    one.kill(number)
    assert one.wait(2) == 128 + number
    assert termios.tcgetattr(one.fd) == one.before
    raw = bytes(one.raw)
    assert raw.rindex(b"\x1b[?1049l") > raw.rindex(b"\x1b[?1049h")
    assert raw.rindex(b"\x1b[?25h") > raw.rindex(b"\x1b[?25l")
    gone(children)


def test_a_closed_terminal_ends_the_workbench_and_its_workers(workbench: Callable[..., Any]) -> None:
    one = workbench()
    walk(one, b"3", 1.0)
    children = child_processes(one.pid)
    one.hang_up()
    assert one.wait(2) == 129
    gone(children)


def child_processes(pid: int) -> list[int]:
    """Ids of the children that are running."""
    text = "".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for child in text.split()]


def gone(children: list[int]) -> None:
    """Fails unless all of them end within two seconds."""
    end = time.monotonic() + 2
    while running := [child for child in children if _runs(child)]:
        assert time.monotonic() < end, f"still running: {running}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return re.search(r"\) [ZX]", Path(f"/proc/{pid}/stat").read_text()) is None
    except FileNotFoundError:
        return False


def test_bad_input_is_survived(workbench: Callable[..., Any]) -> None:
    one = workbench()
    for junk in (
        b"\xff\xfe\xc3\x28",
        b"\x1b[1114112u\x1b[99999999999u",
        b"\x1b]52;c;" + b"q" * 100_000,
        b"\x1b[55296u",
    ):
        one.feed(junk)
        one.pump(0.3)
    one.feed(b"?")
    one.until("type a display filter")
    one.kill(signal.SIGTERM)
    assert one.wait(3) == 143


def test_pasted_junk_in_the_filter_is_survived(workbench: Callable[..., Any], intruders: Intruders) -> None:
    """As a key and as a paste: lone surrogates, invalid bytes, a hundred thousand characters."""
    one = workbench()
    one.feed(b"/")
    one.pump(0.2)
    one.feed(b"\xff\xfe" + b"\x1b[97;1;55296u")
    one.feed(b"\x1b[200~" + b"a\x00b\xff" * 25_000 + b"\x1b[201~")
    one.pump(1.0)
    one.feed(b"\r")
    one.pump(0.5)
    one.kill(signal.SIGTERM)
    assert one.wait(3) == 143
    assert intruders(bytes(one.raw)) == []


def test_sizes(workbench: Callable[..., Any]) -> None:
    """Dragging the window through every shape, and back."""
    one = workbench()
    for rows, columns in ((1, 1), (2, 300), (200, 10), (24, 80), (100, 400), (40, 120)):
        one.resize(rows, columns)
        one.pump(0.3)
    one.until(r"\x1b[38;5", 5)
    one.feed(b"q")
    assert one.wait(5) == 0


def test_a_capture_that_is_not_one(terminal: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.tshark").mkdir()
    (tmp_path / "bad.tshark" / "capture.json").write_text('{"format": 99, "\\u001b]0;PWNED\\u0007": 1}')
    one = terminal(tmp_path / "bad.tshark")
    one.pump(1.5)
    assert "PWNED\x07" not in one.text
    one.kill(signal.SIGTERM)
    one.wait(3)
    assert b"\x1b]0;" not in one.raw
