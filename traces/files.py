"""Opening and writing files of a capture, safely.

A capture may come from a stranger: nothing is opened through a link, nothing but a regular file is
read, nothing is mapped (a mapped file that is truncated kills the process), and no size on disk is
believed beyond a cap. What is written is flushed before anyone is told that it is there.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

from tensorshark.traces.errors import (
    IntegrityError,
    NotFoundError,
    StorageError,
    TensorsharkError,
    UntrustedError,
)
from tensorshark.traces.text import safe_text

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_PIECE, _PIECES = 32 << 10, 16
"""Bytes of a piece at most, and pieces in one call: what is larger makes Linux look for large blocks of free
memory, which in a virtual machine may have to come from its host first, at ten times the cost."""

_READ = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)

Buffer = bytes | bytearray | memoryview


def shown(path: str | Path) -> str:
    """A path as it may be put into a message."""
    return safe_text(str(path), 1024)


class ReadFile:
    """An open regular file: read by position, whole or not at all.

    `below` is a folder that is trusted (the capture's own); from there down no component may be a link.
    Raises NotFoundError, UntrustedError (a link, a FIFO, a device, larger than `cap`) or StorageError.
    """

    def __init__(self, path: Path, cap: int | None = None, below: Path | None = None) -> None:
        self.path = path
        self._fd = _open_for_reading(path, below)
        status = os.fstat(self._fd)
        self.size = status.st_size
        """Bytes, when it was opened."""
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise UntrustedError(f"{shown(path)}: not a regular file; refused")
        if cap is not None and self.size > cap:
            self.close()
            raise UntrustedError(f"{shown(path)}: {self.size:,} bytes; the cap for such a file is {cap:,}")

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` (bytes) from `offset`; IntegrityError when the file ends before that."""
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._fd, [buffer[done : done + (1 << 30)]], offset + done)
            except OSError as error:
                raise reading(self.path, error) from None
            if count == 0:
                raise IntegrityError(f"{shown(self.path)}: ends at byte {offset + done:,}, too early")
            done += count

    def read(self, count: int, offset: int = 0) -> bytearray:
        """Exactly `count` bytes from `offset`; IntegrityError when the file is shorter."""
        if offset + count > self.size:  # before a buffer of a made-up size is allocated
            raise IntegrityError(f"{shown(self.path)}: ends at byte {self.size:,}, too early")
        data = bytearray(count)
        self.read_into(memoryview(data), offset)
        return data

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> ReadFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_file(path: Path, cap: int, below: Path | None = None) -> bytes:
    """The whole file, at most `cap` bytes. Raises as ReadFile does."""
    with ReadFile(path, cap, below) as file:
        return bytes(file.read(file.size))


def write_file(path: Path, *parts: Buffer, sync: bool = True) -> None:
    """Create `path` (it must not exist), mode 0600, and flush it. Raises OSError."""
    fd = os.open(path, _CREATE, FILE_MODE)
    try:
        write_parts(fd, parts)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: Buffer) -> None:
    """Write `path` so that a reader sees the old bytes or the new ones. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_file(temporary, data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def write_all(fd: int, data: Buffer) -> None:
    """os.write until everything is written; a short write is not an error of the file."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def write_parts(fd: int, parts: Iterable[Buffer]) -> None:
    """Buffers one after another, many small ones in a call: that takes two thirds of the time."""
    views = (memoryview(part).cast("B") for part in parts)
    left = deque(view[at : at + _PIECE] for view in views for at in range(0, len(view), _PIECE))
    while left:
        done = os.writev(fd, list(islice(left, _PIECES)))
        while left and done >= len(left[0]):
            done -= len(left.popleft())
        if done:
            left[0] = left[0][done:]


def flush(fd: int) -> None:
    """Flush a file's data and length. Raises OSError."""
    getattr(os, "fdatasync", os.fsync)(fd)  # macOS has no fdatasync


def fsync_file(path: Path) -> None:
    """Flush a file that was closed unflushed: fsync is about the file, not the descriptor. Raises OSError."""
    fd = os.open(path, _READ)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_dir(path: Path) -> None:
    """Flush a folder's entries. Raises OSError."""
    fd = os.open(path, _FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path) -> bool:
    """Create one folder, mode 0700; False when it was there. UntrustedError for a link or a file."""
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise UntrustedError(f"{shown(path)}: not a folder; refused") from None
        return False
    return True


def list_dir(path: Path) -> list[str]:
    """Names in a folder, sorted; empty when there is no such folder. Links are not followed."""
    try:
        fd = os.open(path, _FOLDER)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise reading(path, error) from None
    try:
        return sorted(os.listdir(fd))  # noqa: PTH208 - pathlib cannot list an open folder
    finally:
        os.close(fd)


def reading(path: Path, error: OSError) -> TensorsharkError:
    """The error to raise when `path` cannot be read."""
    if error.errno == errno.ELOOP or os.path.islink(path):  # noqa: PTH114 - Path's raises where this is False
        return UntrustedError(f"{shown(path)}: a symbolic link; refused")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return NotFoundError(f"{shown(path)}: no such file or folder")
    return StorageError(f"{shown(path)}: cannot be read: {error.strerror}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a StorageError that names `path` and what was committed before."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room and run again" if full else "check the disk and its permissions"
        raise StorageError(
            f"{shown(path)}: cannot be written: {error.strerror}; what was committed before is safe; {remedy}"
        ) from error


def _open_for_reading(path: Path, below: Path | None) -> int:
    folders: list[int] = []
    try:
        if below is None:
            return os.open(path, _READ)
        *above, name = path.relative_to(below).parts
        folders.append(os.open(below, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0)))
        for folder in above:
            folders.append(os.open(folder, _FOLDER, dir_fd=folders[-1]))
        return os.open(name, _READ, dir_fd=folders[-1])
    except OSError as error:
        if isinstance(error, NotADirectoryError) and _has_link(path, below):
            raise UntrustedError(f"{shown(path)}: reached through a symbolic link; refused") from None
        raise reading(path, error) from None
    finally:
        for fd in folders:
            with suppress(OSError):
                os.close(fd)


def _has_link(path: Path, below: Path | None) -> bool:
    """O_DIRECTORY with O_NOFOLLOW says "not a directory" for a link too; this tells them apart."""
    parents = [parent for parent in path.parents if below is not None and parent.is_relative_to(below)]
    return any(parent.is_symlink() for parent in parents if parent != below)
