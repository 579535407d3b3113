"""The files of `vectors.py`: one folder per cell, written once, believed only as far as their checksums.

    vectors/<cell>/lock               flock: one process at a time reads traces into it
    vectors/<cell>/head.json          which blocks count; signed like the index
    vectors/<cell>/<serial>.block     squares f8 (row,), values f4 (row, width), keys (row, 16), kinds (row,)

A block is never changed. Rows are added by writing new blocks, then a new head in place of the old one; the
last block, when it is not full, is written anew with them. Readers keep what they have mapped. Killed in
between, a file lies around that no head names; who writes next removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import mmap
import os
import secrets
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import StorageError, TensorsharkError
from tensorshark.traces.files import FOLDER_MODE, read_file, replace_file, shown, write_file
from tensorshark.traces.index.place import Place
from tensorshark.traces.index.seal import DamagedError
from tensorshark.traces.products import dots

VERSION = 1
"""Of these files; another version is made again."""
BLOCK_BYTES = 8 << 20
"""Of values in a full block: what a writer holds in memory, and what is made again where it is damaged."""
KEY_BYTES = 16
_MAX_HEAD = 16 << 20
_MAX_ROWS = 1 << 22
_SUFFIX = ".block"

THERE, ABSENT, DAMAGED, ROUNDED = range(4)
"""Kinds of row: a vector; none in this trace; the trace cannot be read; wider than float32 in the trace."""

Floats = NDArray[np.float32]


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file, as the head describes it."""

    serial: str
    rows: int
    values_crc: int
    """CRC-32 of the values."""
    about_crc: int
    """CRC-32 of the squares, then the keys, then the kinds."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`head.json`."""

    version: int
    uuid: str
    """The capture's."""
    cell: str
    blocks: list[Block]
    proof: str
    """Of all the above, by `Place.sign`."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows: what is written, and what comes back. Arrays are read-only when they come back."""

    keys: NDArray[np.uint8]
    """(row, 16): the beginning of each manifest's sha256."""
    kinds: NDArray[np.uint8]
    """(row,): THERE, ABSENT, DAMAGED, ROUNDED."""
    values: Floats
    """(row, width), NaN where there is none."""
    squares: NDArray[np.float64]
    """(row,): `dots(values, values)`."""

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, place: slice) -> Rows:
        return Rows(self.keys[place], self.kinds[place], self.values[place], self.squares[place])

    @classmethod
    def made(cls, keys: Sequence[bytes], kinds: Sequence[int], values: Floats) -> Rows:
        """Of keys of 16 bytes, kinds, and values (row, width)."""
        joined = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        return cls(joined, np.array(kinds, np.uint8), values, dots(values, values))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """One after the other."""
        names = ("keys", "kinds", "values", "squares")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Shelf:
    """The files of one cell. Any thread may call any method."""

    def __init__(self, place: Place, cell: str, width: int) -> None:
        name = hashlib.sha256(f"{VERSION}\n{cell}".encode()).hexdigest()[:32]
        self.cell = cell
        """The cell in words, unique among cells."""
        self.width = width
        self.place = dataclasses.replace(place, folder=place.folder / "vectors" / name)
        self.capacity = max(1, BLOCK_BYTES // (4 * width))
        """Rows of a full block."""
        self._mapped: dict[str, tuple[Block, Rows]] = {}
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def head(self) -> list[Block]:
        """The blocks that count; none when there is no head that is ours and whole."""
        try:
            head = msgspec.json.decode(read_file(self._file("head.json"), _MAX_HEAD), type=Head)
        except (TensorsharkError, msgspec.MsgspecError, ValueError):
            return []
        ours = hmac.compare_digest(head.proof.encode(), self._proof(head.blocks).encode())
        whole = head.version == VERSION and head.uuid == self.place.uuid and head.cell == self.cell
        return head.blocks if ours and whole else []

    def rows(self, block: Block) -> Rows:
        """The rows of a block, its values mapped and not checked yet: see `check`.

        Raises DamagedError, or FileNotFoundError when the block has been superseded.
        """
        with self._lock:
            known = self._mapped.get(block.serial)
            if known is None or known[0] != block:
                known = self._mapped[block.serial] = (block, self._map(block))
            return known[1]

    def check(self, block: Block) -> Floats:
        """The values of a block (row, width), compared with their checksum when first asked for.

        Raises as `rows` does.
        """
        values = self.rows(block).values
        if block.serial not in self._checked:
            if zlib.crc32(values.data) != block.values_crc:
                raise DamagedError(f"values of {block.serial}{_SUFFIX}")
            self._checked.add(block.serial)
        return values

    def is_checked(self, block: Block) -> bool:
        """True when `check` has compared its values before."""
        return block.serial in self._checked

    @contextlib.contextmanager
    def writing(self) -> Iterator[bool]:
        """Hold the writers' lock; yields False when somebody else has it. Raises StorageError."""
        with contextlib.ExitStack() as stack:
            with _told(self.place.folder):
                self.place.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                held = stack.enter_context(self.place.locked(0.0))
            yield held

    def append(self, blocks: Sequence[Block], new: Rows) -> list[Block]:
        """Add rows after those of `blocks`, the head as it is now; returns the new head. Hold the lock.

        Raises StorageError, or DamagedError when the last block, which has room, is damaged.
        """
        kept = list(blocks)
        if kept and kept[-1].rows < self.capacity and len(new):
            last = kept.pop()
            self.check(last)
            new = Rows.joined([self.rows(last), new])
        with _told(self.place.folder):
            starts = range(0, len(new), self.capacity)
            kept.extend([self._write(new[start : start + self.capacity]) for start in starts])
        self.replace(kept)
        return kept

    def replace(self, blocks: Sequence[Block]) -> None:
        """Make these the blocks that count, and remove all other files. Hold the lock."""
        head = Head(VERSION, self.place.uuid, self.cell, list(blocks), self._proof(blocks))
        wanted = {f"{block.serial}{_SUFFIX}" for block in blocks}
        with _told(self.place.folder):
            replace_file(self._file("head.json"), msgspec.json.encode(head))
            for path in self.place.folder.iterdir():
                if path.name.endswith(_SUFFIX) and path.name not in wanted:
                    path.unlink(missing_ok=True)
        with self._lock:
            for serial in set(self._mapped) - {block.serial for block in blocks}:
                self._mapped.pop(serial, None)
                self._checked.discard(serial)

    def size_of(self, rows: int) -> int:
        """Bytes that so many rows take on disk."""
        return rows * (8 + 4 * self.width + KEY_BYTES + 1)

    def _file(self, name: str) -> Path:
        return self.place.folder / name

    def _proof(self, blocks: Sequence[Block]) -> str:
        said = msgspec.json.encode([VERSION, self.place.uuid, self.cell, list(blocks)]).decode()
        return self.place.sign(f"tensorshark vectors\n{said}")

    def _write(self, rows: Rows) -> Block:
        serial = secrets.token_hex(8)
        values = np.ascontiguousarray(rows.values, "<f4")
        squares = np.ascontiguousarray(rows.squares, "<f8")
        keys, kinds = np.ascontiguousarray(rows.keys), np.ascontiguousarray(rows.kinds)
        parts = [array.reshape(-1).view(np.uint8).data for array in (squares, values, keys, kinds)]
        write_file(self._file(serial + _SUFFIX), *parts, sync=False)
        return Block(serial, len(rows), zlib.crc32(parts[1]), _about(parts[0], parts[2], parts[3]))

    def _map(self, block: Block) -> Rows:
        count, width = block.rows, self.width
        path = self._file(block.serial + _SUFFIX)
        if not 0 < count <= _MAX_ROWS or not block.serial.isalnum():
            raise DamagedError(f"{shown(path.name)} cannot be")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_size != self.size_of(
                count
            ):  # a mapped file that is too short kills the process
                raise DamagedError(f"{path.name} has the wrong size")
            data = mmap.mmap(fd, self.size_of(count), prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        ends = np.cumsum([8 * count, 4 * count * width, KEY_BYTES * count]).tolist()
        view = memoryview(data)
        about = [bytes(view[: ends[0]]), bytes(view[ends[1] : ends[2]]), bytes(view[ends[2] :])]
        if _about(*about) != block.about_crc:
            raise DamagedError(f"rows of {path.name}")
        return Rows(
            squares=np.frombuffer(about[0], "<f8"),
            keys=np.frombuffer(about[1], np.uint8).reshape(count, KEY_BYTES),
            kinds=np.frombuffer(about[2], np.uint8),
            values=np.frombuffer(data, "<f4", count * width, ends[0]).reshape(count, width),
        )


def _about(squares: bytes | memoryview, keys: bytes | memoryview, kinds: bytes | memoryview) -> int:
    return zlib.crc32(kinds, zlib.crc32(keys, zlib.crc32(squares)))


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{shown(folder)}: the cache of vectors cannot be written: {error.strerror}; "
            "make room, or set XDG_CACHE_HOME to a folder that can be written"
        ) from error
