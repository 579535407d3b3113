"""A case's files: one per writer, `<host>-<user>-<8 hex>.jsonl`, side by side in the case's folder.

    NAME.case/                            beside NAME.tshark; or, where that cannot be written,
    <user's state>/cases/<hash of uuid>/

Both are read. Two cases become one when the files of one are put beside those of the other.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tensorshark.traces.case.events import FORMAT, AnyEvent, Header, read_event, read_header
from tensorshark.traces.chain import SUFFIX, ChainFile, ChainWriter
from tensorshark.traces.errors import NotFoundError, StorageError, TensorsharkError
from tensorshark.traces.files import FOLDER_MODE, list_dir, make_dir, shown
from tensorshark.traces.journal import user
from tensorshark.traces.version import tool

MAX_BYTES = 64 << 20
"""Of all files of a case together; further ones are not read."""
MAX_FILES = 4096
_EARLY = timedelta(days=1)
"""How far ahead of the clock an event's time is believed."""


@dataclass
class CaseFile(ChainFile[AnyEvent]):
    """How far one writer's file has been read."""

    refused: bool = False
    """True when the header says that the rest is not for us."""
    latest: str = ""
    """Time of its last event."""

    def said(self, line: bytes) -> AnyEvent | None:
        """The event of one line; None for the header, and for a line that is damaged or breaks a rule."""
        if self.refused:
            return None
        if self.lines == 1:
            self._header(line)
            return None
        try:
            event: AnyEvent = read_event(line)
            at = datetime.fromisoformat(event.at)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            self.problem(f"line {self.lines} cannot be read, or is of a newer version")
            return None
        if event.prev != self.prev:
            self.problem(f"line {self.lines} does not follow from the one before")
        if event.writer != self.path.stem or event.seq != self.lines - 1 or event.step > event.seq:
            self.problem(f"line {self.lines} names a writer or number that cannot be")
            return None
        if at > datetime.now(UTC) + _EARLY:
            self.problem(f"line {self.lines} is dated {event.at[:10]}, which is yet to come")
        self.latest = max(self.latest, event.at)
        return event

    def _header(self, line: bytes) -> None:
        try:
            header = read_header(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.refused = True
            self.problem("line 1 is not the beginning of a case's file; the file is left out")
            return
        if header.format > FORMAT:
            self.refused = True
            self.problem(f"format {header.format} needs a newer tensorshark; the file is left out")


class Folder:
    """One place of a case, read as far as it goes and no line twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, CaseFile] = {}
        """File name -> how far it was read."""
        self._problem = ""

    def refresh(self, room: int) -> list[AnyEvent]:
        """Events that were added since; costs a stat per writer where there are none. Reads at most `room`
        bytes. Raises nothing: what cannot be read is a problem."""
        added: list[AnyEvent] = []
        try:
            names = [name for name in list_dir(self.path) if name.endswith(SUFFIX)]
            self._problem = ""
        except NotFoundError:
            return []
        except TensorsharkError as error:
            self._problem = str(error)
            return []
        for name in names[:MAX_FILES]:
            file = self.files.setdefault(name, CaseFile(self.path / name))
            with suppress(OSError):
                size = file.path.lstat().st_size - file.offset
                if size == 0:
                    continue
                if size > room:
                    file.problem(f"a case of more than {MAX_BYTES >> 20} MiB; the rest is left out")
                    continue
                try:
                    added += file.refresh(self.path)
                except TensorsharkError as error:
                    file.problem(str(error))
                room -= size
        if len(names) > MAX_FILES:
            self._problem = f"{shown(self.path)}: {len(names):,} files; {MAX_FILES:,} are read"
        return added

    @property
    def size(self) -> int:
        """Bytes read."""
        return sum(file.offset for file in self.files.values())

    def problems(self) -> list[str]:
        """What is damaged or left out, in words; a torn last line is not damage."""
        found = [self._problem] if self._problem else []
        return found + [problem for file in self.files.values() for problem in file.problems]


class Log:
    """Appends events to this process's own file, which is made or taken up with the first event.

    A file of this user on this host is taken up when nobody else holds its lock and it is whole to its end,
    so that a case does not get a file for every command that was run.
    """

    def __init__(self, places: list[Folder], capture: str, sync: bool = True) -> None:
        self._places = places
        """The best first."""
        self._capture = capture
        self._sync = sync
        self._file: ChainWriter | None = None
        self._failed: set[Path] = set()
        """Files that refused a line: they are not to be trusted with another."""
        self.seq = 0
        """Of the last event in the file."""

    def open(self) -> None:
        """Find or make the file. Raises StorageError where neither place can be written."""
        if self._file is not None:
            return
        failed: list[str] = []
        for place in self._places:
            try:
                self._make(place.path)
                self._file = self._take_up(place) or self._begin(place)
                return
            except (OSError, StorageError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                failed.append(f"{shown(place.path)}: {reason}")
        raise StorageError(f"the case cannot be written: {'; '.join(failed)}")

    @property
    def writer(self) -> str:
        """Name of the file, without its ending."""
        assert self._file is not None, "open comes first"
        return self._file.path.stem

    @property
    def prev(self) -> str:
        """sha256 of the last line."""
        assert self._file is not None, "open comes first"
        return self._file.prev

    def append(self, lines: list[bytes]) -> None:
        """Write lines that were made with `prev`. After a failure the next `open` begins another file."""
        assert self._file is not None, "open comes first"
        try:
            self._file.append(lines)
        except StorageError:
            self._failed.add(self._file.path)
            self.close()
            raise
        self.seq += len(lines)

    def close(self) -> None:
        """Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _make(self, path: Path) -> None:
        """The folder, and for the user's state those above it."""
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        make_dir(path)

    def _take_up(self, place: Folder) -> ChainWriter | None:
        """Our file of an earlier command, if it can be gone on with."""
        for name, known in sorted(place.files.items()):
            ours = re.fullmatch(rf"{re.escape(_owner())}-[0-9a-f]{{8}}{re.escape(SUFFIX)}", name)
            if not ours or known.path in self._failed:
                continue
            try:
                fd = os.open(known.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            if _held(fd) and self._whole(fd, known, place.path):
                file = ChainWriter(known.path, self._sync)
                file.resume(fd, known.offset, known.prev)
                self.seq = known.lines - 1
                return file
            os.close(fd)
        return None

    def _whole(self, fd: int, known: CaseFile, below: Path) -> bool:
        """Whether the file, whose lock is held, is ours and was read to its end without a problem."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or known.lines < 1:
            return False
        return status.st_size == known.offset and not known.problems and not known.refused

    def _begin(self, place: Folder) -> ChainWriter:
        """A new file, with its header."""
        name = f"{_owner()}-{secrets.token_hex(4)}"
        file = ChainWriter(place.path / f"{name}{SUFFIX}", self._sync)
        file.create()
        with suppress(OSError):  # a file system without locks: then nobody takes it up
            fcntl.flock(file.fd, fcntl.LOCK_EX)
        header = Header(
            format=FORMAT,
            capture=self._capture,
            writer=name,
            started_at=stamp(datetime.now(UTC)),
            host=socket.gethostname(),
            user=user(),
            tool=tool(),
        )
        file.append([msgspec.json.encode(header, order="sorted")])
        self.seq = 0
        return file


def stamp(at: datetime) -> str:
    """As events write times."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def later(latest: str) -> Iterator[datetime]:
    """Times from now on, each later than the one before and, within a day, than the latest that was read."""
    at = now = datetime.now(UTC)
    if latest:
        at = max(now, min(datetime.fromisoformat(latest), now + _EARLY) + timedelta(microseconds=1))
    while True:
        yield at
        at += timedelta(microseconds=1)


def _held(fd: int) -> bool:
    """True when the lock is now ours."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner() -> str:
    """Host and user, as they stand in a file name."""
    parts = (socket.gethostname(), user())
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower())[:32].strip("-") or "x" for part in parts)
