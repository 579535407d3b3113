"""Where a writer prepares what it will commit: a folder of its own inside the capture, and a lock.

The lock file is held with flock as long as the process lives, so a folder whose lock can be taken belongs to
a writer that was killed. Only then, and only on the host that the name tells, is it removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from tensorshark.traces.files import FILE_MODE, list_dir, make_dir

FOLDER = "staging"
_LOCK = ".lock"


class Staging:
    """This writer's folder, `staging/<name>/`; a context manager that leaves nothing behind."""

    def __init__(self, capture: Path) -> None:
        self.root = capture / FOLDER
        make_dir(self.root)
        self.name, self._lock = self._claim()
        self.folder = self.root / self.name
        try:
            make_dir(self.folder)
        except BaseException:
            self.close()
            raise

    def close(self, settled: bool = True) -> None:
        """Remove the folder and let go of the lock; idempotent.

        The lock file itself stays when not `settled`: to the next writer this one was killed.
        """
        lock, self._lock = self._lock, -1
        if lock >= 0:
            _remove(self.root, self.name, lock, settled)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def abandoned(self) -> list[Abandoned]:
        """Folders of killed writers of this host; each is held until it is removed or released."""
        found = []
        for name in self._others():
            if name.rpartition("-")[0].rpartition("-")[0] == _host():
                lock = _take(self.root / f"{name}{_LOCK}")
                if lock is not None:
                    found.append(Abandoned(self.root, name, lock))
        return found

    def alone(self, gone: list[Abandoned]) -> bool:
        """True when no other writer than those that are gone has a lock here."""
        return set(self._others()) <= {writer.name for writer in gone}

    def _others(self) -> list[str]:
        names = [name.removesuffix(_LOCK) for name in list_dir(self.root) if name.endswith(_LOCK)]
        return [name for name in names if name != self.name]

    def _claim(self) -> tuple[str, int]:
        """A new name and its lock, held."""
        while True:
            name = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
            path = self.root / f"{name}{_LOCK}"
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            if _flock(lock) != errno.EWOULDBLOCK and os.fstat(lock).st_nlink:
                return name, lock
            os.close(lock)  # a cleaner saw it before it was locked


class Abandoned:
    """What a killed writer left in `staging/`, held by us."""

    def __init__(self, root: Path, name: str, lock: int) -> None:
        self.name = name
        self._root = root
        self._lock = lock

    def remove(self) -> None:
        """Folder and lock."""
        _remove(self._root, self.name, self._lock)

    def release(self) -> None:
        """Leave it for a later writer."""
        os.close(self._lock)


def _take(path: Path) -> int | None:
    """The lock of another writer, if it is dead; None when it lives or nothing can be said."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    if _flock(lock) == 0 and os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return None


def _flock(fd: int) -> int:
    """0 when locked, else the errno: EWOULDBLOCK, or another where the file system has no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno or errno.ENOLCK
    return 0


def _remove(root: Path, name: str, lock: int, settled: bool = True) -> None:
    shutil.rmtree(root / name, ignore_errors=True)
    if settled and not os.path.lexists(root / name):
        with suppress(OSError):
            (root / f"{name}{_LOCK}").unlink()
    os.close(lock)


def _host() -> str:
    import socket  # only who writes asks, and readers import this file too

    return re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower())[:32].strip("-") or "host"
