"""Where the index of a capture lives, and whether the one found there is ours.

In `.index/` of the capture; or, when the capture cannot be written, belongs to someone else or is on a
network disk (SQLite's WAL needs one host), in the user's cache folder under the capture's uuid; or, when
that fails too, in a temporary folder that goes away with the process.

    lock                 flock: one process at a time writes
    current.json         which generation counts; signed with a key that never leaves this user's account
    <generation>/        one whole index; a rebuilt index is a new generation, so readers of the old one
                         keep their open files
    vectors/<cell>/      one vector per trace, see `vector_files.py`; outlives the generations

The signature is why a capture that comes from a stranger cannot bring its own answers along.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.files import FOLDER_MODE, make_dir, read_file, replace_file, write_file

VERSION = 3
"""Of everything inside a generation; another version is rebuilt, never migrated."""

_GENERATION = re.compile(r"g[0-9a-f]{16}")
_KEY_BYTES = 32
_POLL_S = 0.005
_NETWORK = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|gpfs|beegfs|glusterfs|fuse\..*")
"""File systems on which another host may have the same file open."""


class Current(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`current.json`."""

    version: int
    uuid: str
    generation: str
    """Folder name beside this file."""
    proof: str
    """HMAC-SHA256 of the other three under the user's key."""


@dataclass(frozen=True)
class Place:
    """One folder that may hold an index of one capture."""

    folder: Path
    uuid: str
    """The capture's."""
    key: bytes
    temporary: bool = False
    """True when nobody else can find it; removed by `discard`."""

    def generation(self) -> Path | None:
        """Folder of the index that counts; None when there is none that is ours and of this version."""
        try:
            current = msgspec.json.decode(read_file(self.folder / "current.json", 4096), type=Current)
        except (TensorsharkError, msgspec.MsgspecError):
            return None
        ours = hmac.compare_digest(current.proof.encode(), self._proof(current.generation).encode())
        if not ours or current.version != VERSION or not _GENERATION.fullmatch(current.generation):
            return None
        folder = self.folder / current.generation
        return folder if folder.is_dir() and not folder.is_symlink() else None

    def new_generation(self) -> Path:
        """An empty folder for the next index; it counts once `adopt` is called. Hold the lock."""
        folder = self.folder / f"g{secrets.token_hex(8)}"
        make_dir(folder)
        return folder

    def adopt(self, generation: Path) -> None:
        """Make `generation` the index, and remove all others. Hold the lock."""
        name = generation.name
        current = Current(version=VERSION, uuid=self.uuid, generation=name, proof=self._proof(name))
        replace_file(self.folder / "current.json", msgspec.json.encode(current))
        for other in self.folder.iterdir():
            if other.name != name and _GENERATION.fullmatch(other.name):
                shutil.rmtree(other, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, wait_s: float) -> Iterator[bool]:
        """Hold the writers' lock; yields False when another process has held it for `wait_s` seconds."""
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield _flock(fd, wait_s)
        finally:
            os.close(fd)  # which unlocks

    def discard(self) -> None:
        """Remove a temporary place; leave any other alone."""
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def sign(self, text: str) -> str:
        """HMAC-SHA256 under the user's key: who can make it is the user, not the giver of a capture."""
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def _proof(self, generation: str) -> str:
        return self.sign(f"tensorshark index\n{VERSION}\n{self.uuid}\n{generation}")


def find(capture: Path, uuid: str) -> Place:
    """The best place for the index of the capture at `capture`."""
    cache = platformdirs.user_cache_path("tensorshark")
    key = _user_key(cache)
    if key is not None:
        name = hashlib.sha256(uuid.encode()).hexdigest()[:32]  # a uuid from a file is not a file name
        for folder in (capture / ".index", cache / "index" / name):
            if _usable(folder):
                return Place(folder, uuid, key)
    folder = Path(tempfile.mkdtemp(prefix="tensorshark-index-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Place(folder, uuid, secrets.token_bytes(_KEY_BYTES), temporary=True)


def _usable(folder: Path) -> bool:
    """True when `folder` is there (made if need be), ours, writable and on a disk of this host."""
    try:
        folder.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        make_dir(folder)
        status = folder.stat()
    except (OSError, TensorsharkError):
        return False
    return status.st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK) and not _on_network(folder)


def _on_network(folder: Path) -> bool:
    """True when the mount that `folder` is on is a network file system (known on Linux only)."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    kinds = {fields[1].replace("\\040", " "): fields[2] for fields in map(str.split, mounts)}
    for parent in (resolved := folder.resolve(), *resolved.parents):
        if str(parent) in kinds:
            return bool(_NETWORK.fullmatch(kinds[str(parent)]))
    return False


def _user_key(cache: Path) -> bytes | None:
    """This user's secret, made on first use; None when it cannot be kept."""
    path = cache / "index.key"
    try:
        cache.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if not path.exists():
            temporary = cache / f".index.key.{secrets.token_hex(4)}"
            write_file(temporary, secrets.token_bytes(_KEY_BYTES))
            try:
                os.link(temporary, path)  # unlike a rename, this never replaces a key that came first
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        key = read_file(path, _KEY_BYTES)
    except (OSError, TensorsharkError):
        return None
    return key if len(key) == _KEY_BYTES else None


def _flock(fd: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
