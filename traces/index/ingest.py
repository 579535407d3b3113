"""Keeping up with the journal: from the bytes that were added since last time to rows, in small batches.

Rows are numbered in capture order. That is the order of commit times, so with several writers an entry may
turn up whose place is before rows that are there already: then the rows after it are taken out and put
back behind it, in one transaction, and no reader sees less than before.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tensorshark.traces.files import ReadFile, list_dir
from tensorshark.traces.index import rows
from tensorshark.traces.index.columns import Store, remove
from tensorshark.traces.index.database import Connection
from tensorshark.traces.index.seal import DamagedError
from tensorshark.traces.journal import SUFFIX, JournalEntry, JournalFile

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

BATCH = 256
"""Traces per transaction."""
_CHUNK = 1 << 18
"""Bytes of one journal file that are parsed at once."""
_TAIL = 1 << 14

_ENTRY = "id, manifest_sha256, committed_at, writer, seq, bytes"
_NAMES = ("id", "manifest_sha256", "committed_at", "writer", "seq", "size")

Signature = tuple[tuple[str, int, int, int], ...]
"""(name, inode, size, modified) of every journal file."""


def signature(capture: Capture) -> Signature:
    """What the journal looks like from outside: equal means that nothing was added. One stat a writer."""
    found = []
    try:
        with os.scandir(capture.path / "journal") as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        return ()
    return tuple(sorted(found))


def entry_of(connection: sqlite3.Connection, number: int) -> JournalEntry | None:
    """The journal entry of a row; None when there is no such row."""
    row = connection.execute(f"SELECT {_ENTRY} FROM traces WHERE row = ?", (number,)).fetchone()
    return JournalEntry(**dict(zip(_NAMES, row, strict=True))) if row else None


class Ingest:
    """One pass over what is new. Hold the writers' lock."""

    def __init__(self, capture: Capture, connection: Connection, store: Store) -> None:
        self._capture = capture
        self._connection = connection
        self._store = store
        known = connection.execute("SELECT name, offset, lines, prev FROM journals").fetchall()
        names = [name for name in list_dir(capture.path / "journal") if name.endswith(SUFFIX)]
        if gone := {name for name, *_ in known} - set(names):
            raise DamagedError(f"{len(gone)} journal files are gone")
        states = {name: (offset, lines, prev) for name, offset, lines, prev in known}
        self._streams = [_Stream(capture, name, *states.get(name, (0, 0, ""))) for name in names]
        self._merged = heapq.merge(*self._streams, key=lambda entry: entry.place)

    def run(self, deadline: float | None) -> bool:
        """Ingest until `deadline` (time.monotonic), at least a little; True when all was read.

        Raises DamagedError when the journal is not the one that the index was made from.
        """
        while True:
            batch: list[JournalEntry] = []
            ready: list[rows.Indexed] = []
            for entry in self._merged:
                batch.append(entry)
                if not self._known(entry):
                    ready.append(rows.read(self._capture, entry))
                late = deadline is not None and time.monotonic() >= deadline
                if late or len(batch) == BATCH:
                    break
            else:
                self._commit(ready)
                return True
            self._commit(ready)
            if late:
                return False

    def _known(self, entry: JournalEntry) -> bool:
        """True when its row is there: journals are read again from the last whole chunk."""
        query = "SELECT 1 FROM traces WHERE id = ? AND (committed_at, writer, seq) <= (?, ?, ?)"
        return self._connection.execute(query, (entry.id, *entry.place)).fetchone() is not None

    def _commit(self, new: list[rows.Indexed]) -> None:
        keep, new = self._in_order(new)
        if not new and not any(stream.moved() for stream in self._streams):
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            stale = rows.truncate(self._connection, self._store, keep) if keep is not None else []
            if new:
                stale += rows.append(self._connection, self._store, new, rows.stack(new))
            self._connection.executemany(
                "INSERT OR REPLACE INTO journals VALUES (?, ?, ?, ?)",
                ((stream.name, *stream.state) for stream in self._streams if stream.moved()),
            )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        remove(stale)

    def _in_order(self, new: list[rows.Indexed]) -> tuple[int | None, list[rows.Indexed]]:
        """How many rows stay in front (None: all), and what comes after them, in order, each id once."""
        if not new:
            return None, []
        new.sort(key=lambda row: row.entry.place)
        last = self._connection.execute(
            "SELECT committed_at, writer, seq FROM traces ORDER BY row DESC LIMIT 1"
        ).fetchone()
        if last is None or new[0].entry.place >= last:
            return None, _first_of_each(new)
        moved = list(self._rows_after(new[0].entry.place))
        keep = rows.count(self._connection) - len(moved)
        again = (rows.read(self._capture, entry) for entry in moved)
        return keep, _first_of_each(heapq.merge(again, new, key=lambda row: row.entry.place))

    def _rows_after(self, place: tuple[str, str, int]) -> list[JournalEntry]:
        """Entries of the rows behind `place`, ascending; looked for from the end."""
        found: list[JournalEntry] = []
        before = rows.count(self._connection) + 1
        while before > 1:
            page = self._connection.execute(
                f"SELECT {_ENTRY} FROM traces WHERE row < ? ORDER BY row DESC LIMIT ?", (before, BATCH)
            ).fetchall()
            for entry in (JournalEntry(**dict(zip(_NAMES, row, strict=True))) for row in page):
                if entry.place < place:
                    return found[::-1]
                found.append(entry)
            before -= len(page)
        return found[::-1]


class _Stream:
    """The entries of one writer's journal file that are new, read chunk by chunk."""

    def __init__(self, capture: Capture, name: str, offset: int, lines: int, prev: str) -> None:
        self.name = name
        self.state = (offset, lines, prev)
        """Where to go on: nothing before it is needed again."""
        self._start = self.state
        self._below = capture.path
        self._file = JournalFile(capture.path / "journal" / name, offset, lines, prev)
        if offset and self._last_line() != prev:
            raise DamagedError(f"journal {name} is not the one that was read")

    def __iter__(self) -> Iterator[JournalEntry]:
        file, limit = self._file, _CHUNK
        while True:
            before = file.offset
            yield from file.refresh(self._below, limit)
            self.state = (file.offset, file.lines, file.prev)
            if file.offset == before:
                if limit >= self._waiting():
                    return
                limit *= 4  # a line longer than a chunk

    def moved(self) -> bool:
        """True when there is a new `state` to write down."""
        return self.state != self._start

    def _waiting(self) -> int:
        """Bytes behind the last whole line."""
        with ReadFile(self._file.path, below=self._below) as file:
            return file.size - self._file.offset

    def _last_line(self) -> str:
        """sha256 of the line that ends at `offset`; empty when there is none."""
        offset = self.state[0]
        with ReadFile(self._file.path, below=self._below) as file:
            if file.size < offset:
                return ""
            tail = bytes(file.read(min(_TAIL, offset), offset - min(_TAIL, offset)))
            if tail.count(b"\n") < 2 and len(tail) < offset:
                tail = bytes(file.read(offset, 0))
        line = tail[:-1].rpartition(b"\n")[2]
        return hashlib.sha256(line).hexdigest() if tail.endswith(b"\n") else ""


def _first_of_each(ordered: Iterable[rows.Indexed]) -> list[rows.Indexed]:
    """Of several rows with one id, the first."""
    first: dict[str, rows.Indexed] = {}
    for row in ordered:
        first.setdefault(row.entry.id, row)
    return list(first.values())
