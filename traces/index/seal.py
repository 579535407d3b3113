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
import threading
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
_SHARED = 64 << 20
"""Bytes from which on two threads verify: CRC-32 and reading let go of Python's lock."""
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
            check = _Check(file, sums, self._next, deadline)
            if file.size - self._next < _SHARED:
                check.run()
            else:
                check.shared()
            self._next = check.next  # only now: after an error the same stretch is looked at again
            if self._next < file.size:
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


class _Check:
    """Pages compared with their checksums, stretch by stretch, by one thread or two."""

    def __init__(self, file: ReadFile, sums: array[int], start: int, deadline: float | None) -> None:
        self.next = start
        """First byte that no thread has taken up; all before it was right once `run` and `shared` return."""
        self._file, self._sums, self._deadline = file, sums, deadline
        self._lock = threading.Lock()

    def shared(self) -> None:
        """`run` on two threads. Raises what either does."""
        raised: list[Exception] = []

        def help_out() -> None:
            try:
                self.run()
            except Exception as error:  # raised below, on the caller's thread
                raised.append(error)

        helper = threading.Thread(target=help_out, name="verify")
        helper.start()
        try:
            self.run()
        finally:
            helper.join()
        if raised:
            raise raised[0]

    def run(self) -> None:
        """At least one stretch, until the end or the deadline. Raises DamagedError."""
        size = self._file.size
        buffer = memoryview(bytearray(min(_STRIDE, size)))
        while (start := self._take()) < size:
            data, first = buffer[: size - start], start // PAGE
            if len(data) % PAGE:
                raise DamagedError("half a page")
            self._file.read_into(data, start)
            found = array("I", [zlib.crc32(data[at : at + PAGE]) for at in range(0, len(data), PAGE)])
            if found != self._sums[first : first + len(found)]:
                raise DamagedError(f"one of {len(found)} pages from {first} on")
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return

    def _take(self) -> int:
        """Where the next stretch begins, which is the caller's to check."""
        with self._lock:
            start = self.next
            self.next = max(start, min(start + _STRIDE, self._file.size))
            return start
