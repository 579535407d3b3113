"""The journal: a line per committed trace, a file per writer, each line with the hash of the one before.

Capture order is the order of commit times, and within one writer the order of its lines whatever its clock
did. How such files are read and written is in `chain`.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tensorshark.traces.chain import MAX_BYTES, SUFFIX, ChainFile, ChainWriter
from tensorshark.traces.errors import IntegrityError
from tensorshark.traces.files import ReadFile, list_dir, shown

__all__ = ["SUFFIX", "Journal", "JournalEntry", "JournalFile", "JournalWriter"]

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


class JournalFile(ChainFile[JournalEntry]):
    """How far one writer's file has been read."""

    def said(self, line: bytes) -> JournalEntry | None:
        """The entry of one line; None for the header and for a line that is damaged."""
        if self.lines == 1:
            return None
        try:
            entry = _entries.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.problem(f"line {self.lines} cannot be read")
            return None
        if entry.prev != self.prev:
            self.problem(f"line {self.lines} does not follow from the one before")
        if not _ID.fullmatch(entry.id) or entry.writer != self.path.stem or not 0 < entry.seq < 1 << 63:
            self.problem(f"line {self.lines} names a trace or writer that cannot be")
            return None
        return entry


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
        self._capture = capture
        self._tool = tool
        self._file = ChainWriter(folder / f"{writer}{SUFFIX}", sync)
        self._seq = 0
        self._last = datetime.min.replace(tzinfo=UTC)

    @property
    def certain(self) -> bool:
        """False when a line that failed may be there all the same."""
        return self._file.certain

    def append(
        self, trace_id: str, manifest_sha256: str, *, size: int, tensors: int, plain: int
    ) -> JournalEntry:
        """Write and flush one line. StorageError when the disk refuses: if `certain` it is not there."""
        self._file.check()
        if self._file.fd < 0:
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
            prev=self._file.prev,
        )
        self._write(entry)
        self._seq += 1
        return entry

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def _open(self) -> None:
        import socket  # here, because readers import this file too

        header = Header(
            writer=self.writer,
            capture=self._capture,
            started_at=self._now(),
            host=socket.gethostname(),
            user=user(),
            pid=os.getpid(),
            tool=self._tool,
        )
        self._file.create()
        self._write(header)

    def _write(self, record: JournalEntry | Header) -> None:
        # Canonical: whole numbers and ASCII keys only.
        self._file.append([msgspec.json.encode(record, order="sorted")])

    def _now(self) -> str:
        """Never earlier than the line before, whatever the clock does."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        return self._last.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def user() -> str:
    """Who runs this: a name, or a number where the system has none."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this uid, as in many containers
        return str(os.getuid())
