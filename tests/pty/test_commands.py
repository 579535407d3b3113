"""Commands in a terminal, on a capture where every text is hostile: all of it is seen, none of it obeyed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.text import safe_text

pytestmark = pytest.mark.pty


def seen(text: str) -> str:
    """How a text begins where it is shown, as far as screens agree on the widths."""
    match = re.match("[ -~⏎⇥]{1,12}(?=[ -~⏎⇥]|$)", safe_text(text))
    assert match
    return match[0]


@pytest.mark.parametrize(
    "words",
    [
        ["read", "CAP"],
        ["read", "CAP", "-Y", 'prompt contains "\x1b"'],
        ["read", "CAP", "-e", "prompt", "-e", "token", "-e", "label.category", "-e", "next.token"],
        ["read", "CAP", "-T", "fields", "-e", "prompt", "-e", "token", "-e", "label.category"],
        ["read", "CAP", "-T", "json"],
        ["read", "CAP", "-T", "jsonl"],
        ["read", "CAP", "-T", "csv"],
        ["read", "CAP", "-Y", "\x1b]0;PWNED\x07 and and"],
        ["read", "CAP", "--sort", "\x1b[2J"],
        ["read", "\x1b]0;PWNED\x07.tshark"],
        ["\x1b]0;PWNED\x07"],
        ["info", "CAP"],
        ["info", "CAP", "--full", "--json"],
        ["fields", "CAP"],
        ["run", "norms", "CAP"],
        ["run", "norms", "CAP", "-o", "position=all[:]", "-T", "csv"],
        ["run", "entropy", "CAP", "-T", "json"],
        ["run", "logit-lens", "CAP"],
        ["run", "logit-lens", "CAP", "-T", "jsonl"],
        ["run", "diff", "CAP", "-o", "a=#1", "-o", "b=#2"],
        ["run", "\x1b[2J", "CAP"],
        ["run", "norms", "CAP", "-o", "\x1b[2J=\x1b[2J"],
    ],
    ids=lambda words: safe_text(" ".join(words)),
)
def test_no_control_character_reaches_the_terminal(
    words: list[str],
    terminal: Callable[..., Any],
    hostile_capture: Path,
    intruders: Callable[[bytes], list[str]],
) -> None:
    one = terminal(*(hostile_capture if word == "CAP" else word for word in words))
    code = one.wait(60)
    raw = bytes(one.raw)
    if "fields" in words:
        raw = raw.replace(b"\t", b" ")  # what separates the fields; those of the data are ⇥
    assert intruders(raw) == []
    assert code in (0, 1, 2, 3), one.text


def test_nothing_disappears_from_the_table(
    terminal: Callable[..., Any], hostile_capture: Path, hostile: dict[str, str]
) -> None:
    """Each prompt is there, beginning to where the line ends."""
    one = terminal("read", hostile_capture, rows=60, columns=160)
    assert one.wait(30) == 0
    for text in hostile.values():
        assert seen(text) in one.text
    assert "…" in one.text


def test_nothing_disappears_from_fields(
    terminal: Callable[..., Any], hostile_capture: Path, hostile: dict[str, str]
) -> None:
    """Whole, whatever their length."""
    one = terminal("read", hostile_capture, "-T", "fields", "-e", "prompt", columns=4000)
    assert one.wait(30) == 0
    shown = bytes(one.raw).decode().replace("\r\n", "\n").splitlines()
    assert shown == [safe_text(text, 1 << 20) for text in hostile.values()]


def test_an_interrupted_command_is_code_130(terminal: Callable[..., Any], tmp_path: Path) -> None:
    one = terminal(
        script="import time\nfrom tensorshark.tui import cli\n"
        "cli._run = lambda words: (print('READY', flush=True), time.sleep(60))\n"
        "raise SystemExit(cli.main([]))"
    )
    one.until("READY")
    one.feed(b"\x03")
    assert one.wait(2) == 130
    assert "interrupted" in one.text


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}], ids=str)
def test_the_workbench_says_when_the_terminal_cannot(
    env: dict[str, str], terminal: Callable[..., Any], hostile_capture: Path
) -> None:
    one = terminal("open", hostile_capture, env=env)
    assert one.wait(5) == 2
    assert b"needs a terminal" in one.raw
    assert b"\x1b" not in one.raw


def test_no_color_means_no_escape_at_all(terminal: Callable[..., Any], hostile_capture: Path) -> None:
    one = terminal("read", hostile_capture, env={"NO_COLOR": "1"})
    assert one.wait(30) == 0
    assert b"\x1b" not in one.raw
