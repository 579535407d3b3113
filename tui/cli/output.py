"""What commands print: data on stdout, narration on stderr, and nothing cut without a word.

Text that came from a capture must have been through `safe_text` or `token_text` before it comes here.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def write(lines: Iterable[str], file: TextIO | None = None) -> int:
    """Print lines in batches; the first is flushed at once. Returns how many there were."""
    out = sys.stdout if file is None else file
    count, batch = 0, list[str]()
    for line in lines:
        batch.append(line)
        count += 1
        if count == 1 or len(batch) == BATCH:
            out.write("\n".join(batch) + "\n")
            batch.clear()
            if count == 1:
                out.flush()
    if batch:
        out.write("\n".join(batch) + "\n")
    return count


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


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of (done, total) that keeps one line on stderr current, on a terminal only.

    Nothing is drawn in the first half second, and the line is taken away at the end.
    """
    drawn = False
    due = time.monotonic() + 0.5

    def show(done: int, total: int) -> None:
        nonlocal drawn, due
        now = time.monotonic()
        if now < due or not sys.stderr.isatty():
            return
        drawn, due = True, now + 0.1
        sys.stderr.write(f"\r\x1b[K{what} {done:,}/{total:,}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if drawn:
            sys.stderr.write("\r\x1b[K")
