"""Files of lines that only grow, each line with the hash of the one before; a file per writer.

A writer appends with one write and flushes, so a reader sees whole lines and at most one torn tail, which it
leaves alone. Writers share no file. The journal and the case are such files; they say what a line is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tensorshark.traces.errors import NotFoundError, StorageError
from tensorshark.traces.files import FILE_MODE, ReadFile, flush, fsync_dir, shown, write_all, writing

SUFFIX = ".jsonl"
MAX_BYTES = 4 << 30
"""Of one writer's file: ten million traces."""
MAX_PROBLEMS = 100
"""Kept of one file."""

Line = TypeVar("Line")


@dataclass
class ChainFile(Generic[Line]):
    """How far one writer's file has been read."""

    path: Path
    offset: int = 0
    """First byte not read yet; the start of a line."""
    lines: int = 0
    prev: str = ""
    """sha256 of the last line read, without its newline."""
    problems: list[str] = field(default_factory=list)
    """Lines that cannot be read or do not follow from the one before, in words."""

    def refresh(self, below: Path, limit: int | None = None) -> list[Line]:
        """Read the whole lines that were added since, of at most `limit` bytes; returns what they say."""
        try:
            with ReadFile(self.path, MAX_BYTES, below) as file:
                if file.size < self.offset:
                    self.problem("is shorter than it was")
                    return []
                count = file.size - self.offset
                data = bytes(file.read(count if limit is None else min(count, limit), self.offset))
        except NotFoundError:
            return []
        added = []
        for line in data.split(b"\n")[:-1]:
            self.offset += len(line) + 1
            self.lines += 1
            said = self.said(line)
            self.prev = digest(line)
            if said is not None:
                added.append(said)
        return added

    def said(self, line: bytes) -> Line | None:
        """What one line says; None for the header and for a line that is damaged, which is a problem."""
        raise NotImplementedError

    def problem(self, what: str) -> None:
        """Keep what is wrong with this file."""
        problem = f"{shown(self.path.parent.name)}/{shown(self.path.name)}: {what}"
        if problem not in self.problems[-1:] and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


class ChainWriter:
    """Appends to one file, which is this writer's own."""

    def __init__(self, path: Path, sync: bool = True) -> None:
        self.path = path
        self.prev = ""
        """sha256 of the last line, without its newline."""
        self.certain = True
        """False when a line that failed may be there all the same."""
        self._sync = sync
        self._fd = -1
        self._size = 0
        self._broken = False

    @property
    def fd(self) -> int:
        """Of the open file; -1 before and after."""
        return self._fd

    def create(self) -> None:
        """Make the file, which must not exist. Raises StorageError."""
        with writing(self.path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, FILE_MODE)
            if self._sync:
                fsync_dir(self.path.parent)

    def resume(self, fd: int, size: int, prev: str) -> None:
        """Go on behind the last of `size` bytes of a file that is open to be appended to."""
        self._fd, self._size, self.prev = fd, size, prev

    def check(self) -> None:
        """Raise StorageError when an earlier line failed: nothing may follow it."""
        if self._broken:
            raise StorageError(f"{shown(self.path)}: failed before; start again to go on")

    def append(self, lines: Sequence[bytes]) -> None:
        """Write and flush lines. StorageError when the disk refuses: if `certain` none of them is there."""
        self.check()
        data = b"".join(line + b"\n" for line in lines)
        with writing(self.path):
            try:
                write_all(self._fd, data)
                if self._sync:
                    flush(self._fd)
            except OSError:
                self._take_back()
                raise
        self._size += len(data)
        self.prev = digest(lines[-1])

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _take_back(self) -> None:
        """Cut what was written. A file that failed a flush is not to be trusted with another."""
        self._broken = True
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self.certain = False


def digest(line: bytes) -> str:
    """What the next line says of this one."""
    return hashlib.sha256(line).hexdigest()
