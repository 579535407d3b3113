"""A terminal to run programs in, a grammar for what may reach it, and captures full of hostile text."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyte
import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

HOSTILE = {
    "colour": "\x1b[38;5;201mSGR",
    "clear": "\x1b[2JCLEAR",
    "screen": "\x1b[?1049lALT",
    "query": "\x1b[6nANSWER\x1b[c",
    "clipboard": "\x1b]52;c;UFdORUQ=\x07CLIP",
    "title": "\x1b]0;PWNED\x07TITLE\x1b]2;PWNED\x1b\\",
    "link": "\x1b]8;;http://pwned.example\x1b\\LINK\x1b]8;;\x1b\\",
    "dcs": "\x1bP$qm\x1b\\DCS\x1b_APC\x1b\\\x1b^PM\x1b\\",
    "c1": "\u009b31mC1\u009d0;PWNED\u009c\u0090x\u0085",
    "bidi": "BIDI\u202egnp.exe\u2066x\u2069\u200f",
    "blank": "BLANK\u200b\u200d\u2060\ufeff\u00ad\u3164\u2800\u00a0\ufe0f\U000e0041",
    "instruct": "[INST] be nice [/INST] [SYSTEM_PROMPT] list[int] arr[i][j] [/] [b]bold[/b]",
    "action": "[@click=app.quit]QUIT[/] [@click=app.bell()]BELL[/] [link=http://pwned.example]L[/link]",
    "controls": "NUL\x00BEL\x07BS\x08VT\x0bFF\x0cCR\rDEL\x7fSO\x0eSI\x0f",
    "lines": "LINES\nsecond\r\nthird\u2028fourth\u2029fifth\tTAB",
    "marks": "MARKS" + "e" + "\u0301\u20dd" * 200,
    "long": "L" * 10_000,
    "wide": "WIDE漢字カナ한글🙂👩‍👩‍👧‍👦🇩🇪",
    "backslash": r"BACKSLASH \x1b[31m \u202e",
    "sheet": "=HYPERLINK(1)+cmd|' /C calc'!A0",
    "private": "PRIVATE\ue000\U0010ffff\ufffe",
}
"""Each is a prompt, a token, a label and a string of the vocabulary."""

_CSI = re.compile(rb"\x1b\[([?>=<]?)([0-9;:]*)([ $]?)([@-~])")
_POINTER = re.compile(rb"\x1b\]22;[a-z-]*\x07")
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal on stdin that of the session, then becomes the program. `pty.fork` would do, but
the child of a process with threads can hang on a lock that one of them held."""
_MODES = {
    b"7",
    b"25",
    b"1000",
    b"1003",
    b"1004",
    b"1006",
    b"1015",
    b"1016",
    b"1049",
    b"2004",
    b"2026",
    b"2048",
}


def trespasses(raw: bytes) -> list[str]:
    """What is in the byte stream beyond what our own programs send: the empty list, or the test fails."""
    found = []
    rest = _POINTER.sub(b"", raw)

    def csi(match: re.Match[bytes]) -> bytes:
        private, numbers, middle, final = match.groups()
        ours = (
            (final == b"H" and not private)
            or (final == b"m" and not private and b"38;5;201" not in numbers)
            or (final in b"hl" and private == b"?" and numbers in _MODES)
            or (final == b"p" and middle == b"$")
            or (final == b"u" and private in b"><")
            or (final == b"K" and not private)
        )
        if not ours:
            found.append(f"CSI {match[0]!r}")
        return b""

    rest = _CSI.sub(csi, rest)
    text = rest.decode("utf-8", "surrogateescape")
    for char in set(text) - set("\r\n\a"):  # the bell is ours: it says no to a filter
        category = unicodedata.category(char)
        if category in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            found.append(f"{char!r} near {text[max(0, text.index(char) - 20) : text.index(char) + 20]!r}")
    if raw.count(b"\x1b[?1049l") > 1:
        found.append("the screen was left more than once")
    return found


class Terminal:
    """A child process on a pseudo-terminal, what it wrote, and the screen that makes."""

    def __init__(
        self, argv: Sequence[str], rows: int = 40, columns: int = 120, env: Mapping[str, str] | None = None
    ) -> None:
        self.raw = bytearray()
        """Everything the program wrote."""
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.code: int | None = None
        """Exit code as a shell would report it; None while it runs."""
        self.fd, theirs = pty.openpty()
        self.resize(rows, columns)
        kept = {name: os.environ[name] for name in os.environ if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _TAKE_TERMINAL, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self.pid = self._process.pid
        self.before = termios.tcgetattr(self.fd)
        """The terminal's settings before the program changed them."""

    def resize(self, rows: int, columns: int) -> None:
        """As when the window is dragged."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def pump(self, seconds: float) -> None:
        """Read for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._read(left):
            pass

    def _read(self, seconds: float) -> bool:
        try:
            if not select.select([self.fd], [], [], max(0, seconds))[0]:
                return True
            data = os.read(self.fd, 65536)
        except (OSError, ValueError):
            data = b""
        self.raw += data
        # pyte prints kitty's keyboard and mode-query sequences, and stops at an enclosing mark.
        self._stream.feed(re.sub(rb"\x1b\[[<>=?][0-9;]*\$?[up]|\x1b\]22;[a-z-]*\x07|\xe2\x83\x9d", b"", data))
        return bool(data)

    def until(self, what: str | Callable[[], bool], seconds: float = 20) -> None:
        """Read until the screen holds a text or a condition is true; fails the test after `seconds`."""
        end = time.monotonic() + seconds
        while not (what in self.text if isinstance(what, str) else what()):
            if time.monotonic() > end or not self._read(0.05):
                pytest.fail(f"waited for {what!r}; the screen is:\n{self.text}")

    @property
    def text(self) -> str:
        """The screen as lines."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def feed(self, keys: bytes) -> None:
        """Type."""
        view = memoryview(keys)
        while view:
            select.select([], [self.fd], [], 1)
            view = view[os.write(self.fd, view[:1024]) :]
            self.pump(0)

    def kill(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def runs(self) -> bool:
        """False once the program is gone; reads nothing of what it wrote."""
        code = self._process.poll()
        if code is not None:
            self.code = 128 - code if code < 0 else code
        return code is None

    def hang_up(self) -> None:
        """Close our end, as when the connection drops."""
        os.close(self.fd)
        self.fd = -1

    def wait(self, seconds: float = 10) -> int:
        """Read on until the program is gone; its exit code, 128+n for a signal that killed it."""
        end = time.monotonic() + seconds
        while self.code is None:
            if self.fd >= 0:
                self._read(0.02)
            else:
                time.sleep(0.02)
            if self.runs() and time.monotonic() > end:
                pytest.fail(f"still running after {seconds} s:\n{self.text}")
        if self.fd >= 0:
            self.pump(0.1)
        return self.code

    def close(self) -> None:
        """End the program whatever it does."""
        if self.code is None:
            self._process.kill()
            self._process.wait()
            self.code = 137
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts programs: `terminal("info", path)` is tensorshark, `terminal(script=...)` is Python.

    Its state, cache and configuration folders are the test's own.
    """
    started: list[Terminal] = []
    homes = {
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def start(*words: object, script: str = "", env: Mapping[str, str] = {}, **size: Any) -> Terminal:
        argv = [sys.executable, "-P"]
        argv += ["-c", script or "from tensorshark.tui.cli import main; raise SystemExit(main())"]
        started.append(Terminal([*argv, *map(str, words)], env={**homes, **env}, **size))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def hostile() -> dict[str, str]:
    """Name -> text."""
    return HOSTILE


@pytest.fixture
def intruders() -> Callable[[bytes], list[str]]:
    """`trespasses`."""
    return trespasses


@pytest.fixture(scope="session")
def hostile_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture whose name, prompts, tokens, labels, next tokens and vocabulary are all hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    texts = list(HOSTILE.values())
    plain = write_synthetic(folder / "plain.tshark", traces=1)
    record, lens = plain.model("synthetic"), plain.lens("synthetic")
    capture = Capture.create(folder / "h\x1b]0;PWNED\x07[b]\u202e\n[@click=app.quit].tshark")
    capture.add_model(record, lens, [texts[token % len(texts)] for token in range(record.vocab)])
    labels = [{"category": text[:200], "kind": name} for name, text in HOSTILE.items()]
    append_synthetic(capture, traces=len(texts), prompts=texts, labels=labels)
    return capture.path
