"""A checksum for every page of a SQLite database, so that a damaged one is noticed.

SQLite itself reads a flipped bit in a cell as another value and says nothing. `pages.crc` beside the
database holds one CRC-32 per page of the main file. Pages that wait in the write-ahead log need none:
SQLite's own checksums cover them when the log is recovered.

Protocol, under the writers' lock: collect the numbers of the pages in the log, checkpoint, checksum those
pages, replace `pages.crc`, and only then let go of the log. Killed in between, the log still names every
page that may differ. Nobody else may checkpoint a log with frames in it, so writers turn that off.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
import zlib
from array import array
from pathlib import Path

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.files import ReadFile, read_file, write_file

PAGE = 16384
"""Bytes per database page: large pages make for few checksums."""
_MAGIC = b"TSPAGES1"
_HEAD = struct.Struct("<8sQ")  # magic, pages
_CAP = 1 << 30
_WAL_HEAD = struct.Struct(">8I")  # magic, version, page size, checkpoint, salt 1, salt 2, checksums
_WAL_FRAME = struct.Struct(">4I8x")  # page number from 1, pages after commit, salt 1, salt 2
_STRIDE = 1 << 20
"""Bytes read at once while verifying."""
_PATIENCE = 40
"""Times to ask again, 5 ms apart, while a reader holds on to pages as they were."""


class DamagedError(Exception):
    """A part of the index is not what was written; it has to be made again."""


class Seal:
    """The page checksums of one database file."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.path = database.with_name("pages.crc")
        self.log = database.with_name(database.name + "-wal")
        self._next = 0
        """First byte that `verify` has not looked at."""

    def close(self, connection: sqlite3.Connection) -> None:
        """Checkpoint what was committed and checksum the pages it changed. Hold the writers' lock.

        Cheap when nothing was committed. Raises OSError when `pages.crc` cannot be written, DamagedError
        when it is there and damaged: checksums that were lost are not made up.
        """
        changed = self._pages_in_log()
        if not changed:
            return
        sums = self._read() if self.path.exists() else array("I")
        if sums is None:
            raise DamagedError("the page checksums are damaged")
        if not _checkpoint(connection):
            return  # the log still names every page that may differ; whoever writes next seals them
        with ReadFile(self.database) as file:
            pages = file.size // PAGE
            known = min(len(sums), pages)
            sums = sums[:known]
            sums.extend([0] * (pages - known))
            for page in sorted({*changed, *range(known, pages)}):
                if page < pages:
                    sums[page] = zlib.crc32(file.read(PAGE, page * PAGE))
        self._write(sums)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def waiting(self) -> bool:
        """True when the log holds pages that were not checksummed."""
        try:
            return self.log.stat().st_size > 0
        except FileNotFoundError:
            return False

    def verify(self, deadline: float | None = None) -> bool:
        """Check pages from where the last call stopped, at least some, until `deadline` (time.monotonic).

        Returns True at the end. Raises DamagedError for a page that is not what was written; since a writer
        may be at work, take the lock and ask `damaged` before believing it.
        """
        sums = self._read()
        if sums is None:
            raise DamagedError("no page checksums")
        with ReadFile(self.database) as file:
            while self._next < file.size:
                self._check(file, sums)
                if deadline is not None and self._next < file.size and time.monotonic() >= deadline:
                    return False
        if self._next < len(sums) * PAGE:
            raise DamagedError("pages are missing")
        return True

    def restart(self) -> None:
        """Let `verify` begin again."""
        self._next = 0

    def damaged(self) -> bool:
        """Check every page against the log and the checksums as they are now. Hold the writers' lock."""
        sums, waiting = self._read(), self._pages_in_log()
        if sums is None:
            return True
        try:
            with ReadFile(self.database) as file:
                for page in range(max(len(sums), -(-file.size // PAGE))):
                    if page in waiting:
                        continue
                    if page >= len(sums) or zlib.crc32(file.read(PAGE, page * PAGE)) != sums[page]:
                        return True
        except TensorsharkError:
            return True
        return False

    def _check(self, file: ReadFile, sums: array[int]) -> None:
        size = min(_STRIDE, file.size - self._next)
        if size % PAGE:
            raise DamagedError("half a page")
        data, first = memoryview(file.read(size, self._next)), self._next // PAGE
        for page in range(size // PAGE):
            crc = zlib.crc32(data[page * PAGE : (page + 1) * PAGE])
            if first + page >= len(sums) or crc != sums[first + page]:
                raise DamagedError(f"page {first + page}")
        self._next += size

    def _pages_in_log(self) -> set[int]:
        """Numbers, from 0, of the pages with a frame in the write-ahead log; a superset of the committed."""
        try:
            fd = os.open(self.log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return set()
        pages = set()
        try:
            head = os.pread(fd, _WAL_HEAD.size, 0)
            if len(head) < _WAL_HEAD.size:
                return set()
            _, _, size, _, *salts, _, _ = _WAL_HEAD.unpack(head)
            offset = _WAL_HEAD.size
            while len(frame := os.pread(fd, 24, offset)) == 24:
                number, _, *salt = _WAL_FRAME.unpack(frame)
                if salt != salts or number == 0:
                    break
                pages.add(number - 1)
                offset += 24 + size
        finally:
            os.close(fd)
        return pages

    def _read(self) -> array[int] | None:
        """The checksums; None when there are none that can be believed."""
        try:
            data = read_file(self.path, _CAP)
        except TensorsharkError:
            return None
        if len(data) < _HEAD.size + 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return None
        magic, count = _HEAD.unpack_from(data)
        if magic != _MAGIC or len(data) != _HEAD.size + 4 * count + 4:
            return None
        sums = array("I")
        sums.frombytes(data[_HEAD.size : -4])
        return sums

    def _write(self, sums: array[int]) -> None:
        data = _HEAD.pack(_MAGIC, len(sums)) + sums.tobytes()
        temporary = self.path.with_name(".pages.crc")
        temporary.unlink(missing_ok=True)
        write_file(temporary, data, zlib.crc32(data).to_bytes(4, "little"), sync=False)
        temporary.replace(self.path)


def _checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy the log's pages into the file; False while a reader that still sees old ones keeps some back.

    Sealing then would checksum old pages, and the truncation that follows bring the new ones in unsealed.
    """
    for _ in range(_PATIENCE):
        _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if copied == frames:
            return True
        time.sleep(0.005)
    return False
