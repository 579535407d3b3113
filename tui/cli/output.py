"""What commands print: data on stdout, narration on stderr, and nothing cut without a word.

Text that came from a capture must have been through `safe_text` or `token_text` before it comes here.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

BATCH = 1000
"""Lines joined into one write."""


@dataclass(frozen=True)
class Column:
    """One column of a printed table."""

    title: str
    width: int = 0
    """Cells; longer text is cut with `…` when the table has a limit. 0: as wide as its widest cell."""
    right: bool = False
    """Numbers stand to the right."""


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], limit: int | None = None
) -> Iterator[str]:
    """Lines of a plain table. The last column is not padded, and gives way where `limit` cells are reached.

    With a width for every column but the last, rows are taken one at a time: a million cost no memory.
    """
    if any(column.width == 0 for column in columns[:-1]):
        rows = list(rows)
    widths = [
        column.width or max([cells(column.title), *(cells(row[place]) for row in rows)])
        for place, column in enumerate(columns[:-1])
    ]
    room = None if limit is None else max(8, limit - sum(widths) - 2 * len(widths))

    def line(row: Sequence[str]) -> str:
        parts = [
            pad(clip(text, width) if limit is not None else text, width, column.right)
            for text, width, column in zip(row, widths, columns, strict=False)
        ]
        last = row[-1] if room is None else clip(row[-1], room)
        return "  ".join([*parts, last]).rstrip()

    yield emphasised(line([column.title for column in columns]), sys.stdout)
    for row in rows:
        yield line(row)


class Writer:
    """Prints lines in batches; the first is flushed at once. What waits is printed at the end of `with`."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._out = sys.stdout if file is None else file
        self._batch: list[str] = []
        self.count = 0
        """Lines so far."""

    def write(self, lines: Iterable[str]) -> None:
        """Print lines as they come."""
        for line in lines:
            self._batch.append(line)
            self.count += 1
            if self.count == 1:
                self.flush()
            elif len(self._batch) == BATCH:
                self._print()

    def flush(self) -> None:
        """Print what waits, now."""
        self._print()
        self._out.flush()

    def _print(self) -> None:
        batch, self._batch = self._batch, []  # first, so that an interrupt cannot print them twice
        if batch:
            self._out.write("\n".join(batch) + "\n")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._print()


def write(lines: Iterable[str], file: TextIO | None = None) -> int:
    """Print lines in batches; the first is flushed at once. Returns how many there were."""
    with Writer(file) as writer:
        writer.write(lines)
    return writer.count


def note(text: str) -> None:
    """One line of narration on stderr."""
    sys.stderr.write(f"tensorshark: {text}\n")


def width(file: TextIO | None = None) -> int | None:
    """Columns of the terminal behind stdout; None when it is not a terminal: nothing is cut then."""
    out = sys.stdout if file is None else file
    return shutil.get_terminal_size().columns if out.isatty() else None


def emphasised(text: str, file: TextIO) -> str:
    """Bold on a terminal that may be coloured, as it is elsewhere."""
    plain = not file.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def cells(text: str) -> int:
    """How many terminal cells `text` fills."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def clip(text: str, room: int) -> str:
    """`text` in at most `room` cells, ending in `…` where something is left out."""
    if cells(text) <= room:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, max(0, room - 1)).rstrip() + "…"


def pad(text: str, room: int, right: bool = False) -> str:
    """`text` filled with spaces to `room` cells."""
    space = " " * (room - cells(text))
    return space + text if right else text + space


def size(count: float) -> str:
    """Bytes for people: `12.3 MB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """One line on stderr that says how far something is, on a terminal only."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._drawn = False
        self._due = time.monotonic() + 0.5

    def __call__(self, done: int, total: int) -> None:
        """Say it, at most ten times a second; nothing in the first half second."""
        now = time.monotonic()
        if now < self._due or not sys.stderr.isatty():
            return
        self._drawn, self._due = True, now + 0.1
        sys.stderr.write(f"\r\x1b[K{self._what} {done:,}/{total:,}")
        sys.stderr.flush()

    def hide(self) -> None:
        """Take the line away, for other lines to be printed."""
        if self._drawn:
            self._drawn = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A function of (done, total) that keeps one line on stderr current, on a terminal only.

    Nothing is drawn in the first half second, and the line is taken away at the end.
    """
    show = Progress(what)
    try:
        yield show
    finally:
        show.hide()
