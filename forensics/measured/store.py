"""Measured values on disk, beside the index: computed once for each trace, believed only when they are ours.

One SQLite file whose name only this user can know, so that a capture from a stranger cannot bring answers
along. It may be deleted at any time; what is damaged in it is measured again. Several processes may use it: a
value depends on its key and its trace alone, so two that measure the same write the same.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from tensorshark.forensics.measured.columns import Array, Chunk, Column, DamagedError, chunk, pack, unpack
from tensorshark.traces.index.place import Place

VERSION = 2
"""Of the file; another one is another file."""
MOST_ON_DISK = 1 << 30
"""Bytes of values; beyond, the columns used longest ago go."""
_MOST_IN_MEMORY = 256 << 20
_WAIT_S = 10.0
"""How long to wait for another process that writes."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS columns (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, column INTEGER NOT NULL, traces INTEGER NOT NULL,
    reasons TEXT NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_of ON chunks (column, serial);
"""


class Key(msgspec.Struct, frozen=True, array_like=True):
    """What values depend on besides the trace."""

    analyzer: str
    digest: str
    """Of its source."""
    field: str
    axes: int
    texts: bool
    """Cells are objects: texts and truths."""
    cells: str
    """The selection, written so that equal ones are equal."""


class Store:
    """All columns of one capture. Any thread may call any method."""

    def __init__(self, place: Place) -> None:
        name = place.sign(f"tensorshark measured\n{VERSION}\n{place.uuid}")[:32]
        self.path: Path = place.folder / f"measured.{name}.db"
        self._columns: OrderedDict[Key, Column] = OrderedDict()
        self._looked: dict[Key, tuple[object, ...]] = {}
        """How the file looked when a column was read from it."""
        self._lock = threading.RLock()

    def column(self, key: Key) -> Column:
        """What is known by now, also from other processes."""
        with self._lock:
            column = self._columns.get(key)
            if column is None:
                column = self._columns[key] = Column(key.axes, key.texts)
            self._columns.move_to_end(key)
            self._catch_up(key, column)
            self._let_go()
            return column

    def told(self, key: Key) -> tuple[int, dict[str, int]]:
        """How many traces are known, and how many of them failed for which reason: for hints. A column that
        is not in memory is not read for it."""
        with self._lock:
            if key in self._columns or not self.path.exists():
                column = self.column(key)
                return len(column.ids), column.reasons_counted
            query = """SELECT traces, reasons FROM chunks JOIN columns ON columns.id = chunks.column
                       WHERE key = ?"""
            try:
                with closing(self._connect()) as connection:
                    rows = connection.execute(query, (_text(key),)).fetchall()
                counts: Counter[str] = Counter()
                for _, reasons in rows:
                    counts.update(msgspec.json.decode(reasons, type=dict[str, int]))
            except (sqlite3.Error, msgspec.MsgspecError):
                return 0, {}
            return sum(traces for traces, _ in rows), dict(counts)

    def add(self, key: Key, found: Sequence[tuple[int, Array | str]]) -> None:
        """Keep (trace id, cells, or why there are none); in memory where the disk does not take it."""
        if not found:
            return
        new = chunk(found, key.axes, key.texts)
        with self._lock:
            column = self.column(key)
            serial = self._write(key, new, found)
            if serial is None:
                column.extend(new)  # and so for as long as this process lasts
            else:
                self._catch_up(key, column)

    def remember(self, key: Key, found: Sequence[tuple[int, Array | str]]) -> None:
        """As `add`, for this process alone: what may go well another time."""
        if found:
            with self._lock:
                self.column(key).extend(chunk(found, key.axes, key.texts))

    def forget_memory(self) -> None:
        """Read everything from the disk again when it is asked for."""
        with self._lock:
            self._columns.clear()
            self._looked.clear()

    def forget(self) -> None:
        """Remove the file."""
        with self._lock:
            self.forget_memory()
            for suffix in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    self.path.with_name(self.path.name + suffix).unlink()

    def _connect(self) -> sqlite3.Connection:
        with suppress(OSError):  # before SQLite makes it: for this user's eyes alone
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _catch_up(self, key: Key, column: Column) -> None:
        """Read the chunks that were written since; begin anew where one is damaged."""
        looks = tuple(map(_look, (self.path, self.path.with_name(f"{self.path.name}-wal"))))
        if looks[0] is None or looks == self._looked.get(key):
            return
        query = """SELECT serial, crc, body FROM chunks JOIN columns ON columns.id = chunks.column
                   WHERE key = ? AND serial > ? ORDER BY serial"""
        try:
            with closing(self._connect()) as connection:
                for serial, crc, body in connection.execute(query, (_text(key), column.read)):
                    column.extend(unpack(crc, body))
                    column.read = serial
            self._looked[key] = looks
        except sqlite3.OperationalError:
            return  # somebody writes for long, or the disk is full: what is known has to do
        except (sqlite3.DatabaseError, DamagedError, ValueError, IndexError, TypeError):
            self.forget()
            column.__init__(key.axes, key.texts)  # type: ignore[misc]
            self._columns[key] = column

    def _write(self, key: Key, new: Chunk, found: Sequence[tuple[int, Array | str]]) -> int | None:
        """The chunk's serial number; None when it could not be written."""
        crc, body = pack(new)
        now = time.time()
        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    connection.execute(
                        "INSERT INTO columns (key, used) VALUES (?, ?) ON CONFLICT DO UPDATE SET used = ?",
                        (_text(key), now, now),
                    )
                    ((column,),) = connection.execute(
                        "SELECT id FROM columns WHERE key = ?", (_text(key),)
                    ).fetchall()
                    self._make_room(connection, column, len(body))
                    reasons = Counter(each for _, each in found if isinstance(each, str))
                    cursor = connection.execute(
                        "INSERT INTO chunks (column, traces, reasons, crc, body) VALUES (?, ?, ?, ?, ?)",
                        (column, len(found), msgspec.json.encode(reasons).decode(), crc, body),
                    )
                    return cursor.lastrowid
        except sqlite3.Error:
            return None

    @staticmethod
    def _make_room(connection: sqlite3.Connection, column: int, more: int) -> None:
        """Drop the columns used longest ago until `more` bytes fit beside those of `column`."""
        sizes = connection.execute(
            """SELECT columns.id, sum(length(body)) FROM columns JOIN chunks ON chunks.column = columns.id
               GROUP BY columns.id ORDER BY used"""
        ).fetchall()
        total = sum(size for _, size in sizes) + more
        for other, size in sizes:
            if total <= MOST_ON_DISK:
                break
            if other != column:
                connection.execute("DELETE FROM chunks WHERE column = ?", (other,))
                connection.execute("DELETE FROM columns WHERE id = ?", (other,))
                total -= size

    def _let_go(self) -> None:
        """Keep the columns used last in memory."""
        total = sum(column.nbytes for column in self._columns.values())
        while total > _MOST_IN_MEMORY and len(self._columns) > 1:
            total -= self._columns.popitem(last=False)[1].nbytes


def _look(path: Path) -> object:
    """Changes when a file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _text(key: Key) -> str:
    return msgspec.json.encode(key).decode()
