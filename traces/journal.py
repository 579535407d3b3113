"""The journal: a line per committed trace, a file per writer, each line with the hash of the one before.

A writer appends with one os.write and flushes, so a reader sees whole lines and at most one torn tail, which
it leaves alone. Writers share no file. Capture order is the order of commit times, and within one writer
the order of its lines whatever its clock did.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tensorshark.traces.errors import IntegrityError, NotFoundError, StorageError
from tensorshark.traces.files import (
    FILE_MODE,
    ReadFile,
    flush,
    fsync_dir,
    list_dir,
    shown,
    write_all,
    writing,
)

SUFFIX = ".jsonl"
MAX_BYTES = 4 << 30
"""Of one writer's file: ten million traces."""
_ID = re.compile(r"[0-9a-f]{16}")


class JournalEntry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One committed trace."""

    id: str
    manifest_sha256: str
    committed_at: str
    """UTC, ISO 8601, microseconds, ending in Z."""
    writer: str
    """Name of the journal file, without its ending."""
    seq: int
    """1 for a writer's first trace."""
    prev: str = ""
    """sha256 of the line before this one in its file, without the newline."""
    size: int = 0
    """Bytes of the trace's files."""
    tensors: int = 0
    """Bytes of its tensors.safetensors."""
    plain: int = 0
    """Bytes that its residual sites would take as float32, nothing derived."""

    @property
    def place(self) -> tuple[str, str, int]:
        """Sort key of capture order."""
        return self.committed_at, self.writer, self.seq


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a journal file: who wrote it."""

    writer: str
    capture: str
    """The capture's uuid."""
    started_at: str
    host: str
    user: str
    pid: int
    tool: str


_entries = msgspec.json.Decoder(JournalEntry)


@dataclass
class JournalFile:
    """How far one writer's file has been read."""

    path: Path
    offset: int = 0
    """First byte not read yet; the start of a line."""
    lines: int = 0
    prev: str = ""
    """sha256 of the last line read, without its newline."""
    problems: list[str] = field(default_factory=list)
    """Lines that cannot be read or do not follow from the one before, in words."""

    def refresh(self, below: Path, limit: int | None = None) -> list[JournalEntry]:
        """Read the whole lines that were added since, of at most `limit` bytes; returns their entries."""
        try:
            with ReadFile(self.path, MAX_BYTES, below) as file:
                if file.size < self.offset:
                    self._problem("is shorter than it was")
                    return []
                count = file.size - self.offset
                data = bytes(file.read(count if limit is None else min(count, limit), self.offset))
        except NotFoundError:
            return []
        added = []
        writer = self.path.stem
        for line in data.split(b"\n")[:-1]:
            self.offset += len(line) + 1
            self.lines += 1
            entry = self._read(line, writer)
            self.prev = hashlib.sha256(line).hexdigest()
            if entry is not None:
                added.append(entry)
        return added

    def _read(self, line: bytes, writer: str) -> JournalEntry | None:
        """The entry of one line; None for the header and for a line that is damaged."""
        if self.lines == 1:
            return None
        try:
            entry = _entries.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._problem(f"line {self.lines} cannot be read")
            return None
        if entry.prev != self.prev:
            self._problem(f"line {self.lines} does not follow from the one before")
        if not _ID.fullmatch(entry.id) or entry.writer != writer or not 0 < entry.seq < 1 << 63:
            self._problem(f"line {self.lines} names a trace or writer that cannot be")
            return None
        return entry

    def _problem(self, what: str) -> None:
        problem = f"journal/{shown(self.path.name)}: {what}"
        if problem not in self.problems[-1:]:
            self.problems.append(problem)


class Journal:
    """All journal files of a capture, read as far as they go and no line twice."""

    def __init__(self, capture: Path) -> None:
        self.capture = capture
        self.folder = capture / "journal"
        self.files: dict[str, JournalFile] = {}
        """File name -> how far it was read."""
        self._added: list[JournalEntry] = []
        """Read, but not returned yet when a file after it could not be read."""

    def refresh(self) -> list[JournalEntry]:
        """Entries that were added since the last call, file by file."""
        for name in list_dir(self.folder):
            if name.endswith(SUFFIX):
                file = self.files.setdefault(name, JournalFile(self.folder / name))
                self._added += file.refresh(self.capture)
        added, self._added = self._added, []
        return added

    def problems(self) -> list[str]:
        """What is damaged, in words; a torn last line is not damage."""
        return [problem for file in self.files.values() for problem in file.problems]

    def find(self, trace_id: str) -> JournalEntry | None:
        """The first entry of one id, found by its bytes: parses that line only."""
        needle = f'"id":"{trace_id}"'.encode()
        found = []
        for name in list_dir(self.folder):
            if not name.endswith(SUFFIX):
                continue
            with ReadFile(self.folder / name, MAX_BYTES, self.capture) as file:
                data = bytes(file.read(file.size))
            at = data.find(needle)
            stop = data.find(b"\n", at)
            if at >= 0 and stop >= 0:
                try:
                    found.append(_entries.decode(data[data.rfind(b"\n", 0, at) + 1 : stop]))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    raise IntegrityError(
                        f"trace {trace_id}: its line in journal/{shown(name)} is damaged", trace_id
                    ) from None
        return min(found, key=lambda entry: entry.place, default=None)


class JournalWriter:
    """Appends to this writer's own file, which is created with the first line."""

    def __init__(self, folder: Path, writer: str, capture: str, tool: str, sync: bool = True) -> None:
        self.writer = writer
        self._path = folder / f"{writer}{SUFFIX}"
        self._capture = capture
        self._tool = tool
        self._sync = sync
        self._fd = -1
        self._size = 0
        self._seq = 0
        self._last = datetime.min.replace(tzinfo=UTC)
        self._prev = ""
        self._broken = False
        self.certain = True
        """False when a line that failed may be there all the same."""

    def append(
        self, trace_id: str, manifest_sha256: str, *, size: int, tensors: int, plain: int
    ) -> JournalEntry:
        """Write and flush one line. StorageError when the disk refuses: if `certain` it is not there."""
        if self._broken:
            raise StorageError(f"{shown(self._path)}: failed before; start again to go on")
        if self._fd < 0:
            self._open()
        entry = JournalEntry(
            id=trace_id,
            manifest_sha256=manifest_sha256,
            committed_at=self._now(),
            writer=self.writer,
            seq=self._seq + 1,
            size=size,
            tensors=tensors,
            plain=plain,
            prev=self._prev,
        )
        self._write(entry)
        self._seq += 1
        return entry

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _open(self) -> None:
        header = Header(
            writer=self.writer,
            capture=self._capture,
            started_at=self._now(),
            host=socket.gethostname(),
            user=_user(),
            pid=os.getpid(),
            tool=self._tool,
        )
        with writing(self._path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, FILE_MODE)
            if self._sync:
                fsync_dir(self._path.parent)
        self._write(header)

    def _write(self, record: JournalEntry | Header) -> None:
        line = msgspec.json.encode(record, order="sorted")  # canonical: whole numbers and ASCII keys only
        with writing(self._path):
            try:
                write_all(self._fd, line + b"\n")
                if self._sync:
                    flush(self._fd)
            except OSError:
                self._take_back()
                raise
        self._size += len(line) + 1
        self._prev = hashlib.sha256(line).hexdigest()

    def _take_back(self) -> None:
        """Cut what was written of the line. A file that failed a flush is not to be trusted with another."""
        self._broken = True
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self.certain = False

    def _now(self) -> str:
        """Never earlier than the line before, whatever the clock does."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        return self._last.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this uid, as in many containers
        return str(os.getuid())
