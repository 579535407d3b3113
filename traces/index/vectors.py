"""One vector per trace: what similarity asks, without opening a hundred thousand traces twice.

A *cell* is a site, a layer and a position, at one width. Its vectors lie beside the index as float32, keyed
by the hash of each trace's manifest: they stay right when traces are added, when earlier ones arrive late and
all numbers move, and when the index itself is made again. Like the index they are a cache: what is damaged or
not ours is read anew from the traces.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import IntegrityError, NotFoundError, StorageError, UntrustedError
from tensorshark.traces.index.cell import Cell, bytes_of
from tensorshark.traces.index.matrix import Matrix, Numbers, each, places
from tensorshark.traces.index.seal import DamagedError
from tensorshark.traces.index.vector_files import (
    DAMAGED,
    KEY_BYTES,
    THERE,
    Block,
    Floats,
    Rows,
    Shelf,
)

if TYPE_CHECKING:
    from tensorshark.traces.index.index import Index

Row = tuple[bytes, int, Floats]
"""Key, kind, and vector (width,)."""
OnProgress = Callable[[int, int], None]
"""Traces done, and all of them."""

COMMIT_S = 2.0
"""What was read for so long is written, so that a process that is killed loses no more."""
_POLL_S = 0.05
_MENDABLE = 64
"""Traces that could not be read and are tried again by each `Vectors`: they may have been restored."""
_SAMPLE = 4
_TRIES = 8
_KEYS = """SELECT group_concat(substr(manifest_sha256, 1, 32), '')
           FROM (SELECT manifest_sha256 FROM traces WHERE row <= ? ORDER BY row)"""


@dataclass(frozen=True)
class Estimate:
    """What reading the missing traces takes."""

    traces: int
    bytes: int
    """To read from them, about."""
    seconds: float
    """About, by reading some of them."""
    disk: int
    """Bytes that the vectors will take."""


@dataclass
class _Keys:
    """The keys of all traces of an index, remembered while no trace is added."""

    state: object
    """Generation of the index, and how many traces it has."""
    keys: NDArray[np.uint8]
    """(trace, 16)"""


_known: WeakKeyDictionary[Index, _Keys] = WeakKeyDictionary()
_known_lock = threading.Lock()


class Vectors:
    """The vectors of one cell for all traces of an index. Any thread may call any method."""

    def __init__(self, index: Index, cell: Cell) -> None:
        self.index = index
        self.cell = cell
        self.shelf = Shelf(index.place, f"{cell} {cell.width}", cell.width)
        self._placed: tuple[object, Matrix] | None = None
        self._retried = False
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """On disk."""
        return sum(self.shelf.size_of(block.rows) for block in self.shelf.head())

    def __len__(self) -> int:
        """Traces that were read, and perhaps some that are gone: costs a look at one small file."""
        return sum(block.rows for block in self.shelf.head())

    def matrix(self, *, held: bool = False) -> Matrix:
        """What is there now; blocks that are damaged are thrown away. `held`: the lock is ours already."""
        for _ in range(_TRIES):
            blocks = self.shelf.head()
            try:
                return self._matrix(blocks)
            except FileNotFoundError:
                if blocks == self.shelf.head():
                    self.mend(held=held)
            except DamagedError:
                self.mend(held=held)
        raise IntegrityError(f"the vectors of {self.cell} change faster than they can be read")

    def mend(self, *, held: bool = False) -> None:
        """Throw away the blocks whose bytes are not what was written; `extend` reads their traces again."""
        if not held:
            with self.shelf.writing() as ours:
                if ours:
                    self.mend(held=True)
            if not ours:
                time.sleep(_POLL_S)
            return
        blocks = self.shelf.head()
        whole = [block for block in blocks if self._is_whole(block)]
        if whole != blocks:
            self.shelf.replace(whole)

    def forget(self) -> None:
        """Throw all of it away."""
        with self.shelf.writing() as held:
            if not held:
                raise StorageError(f"another process is reading vectors of {self.cell}; try again later")
            self.shelf.replace([])

    def missing(self, wanted: Numbers | None = None, *, held: bool = False) -> Numbers:
        """Numbers, ascending, of the traces that `extend` would read; of all, or of those wanted."""
        matrix = self.matrix(held=held)
        numbers = np.union1d(np.flatnonzero(matrix.places < 0) + 1, self._unreadable(matrix))
        return (numbers if wanted is None else np.intersect1d(numbers, wanted)).astype(np.int64)

    def estimate(self, wanted: Numbers | None = None) -> Estimate:
        """What `extend` would take, by reading a few of the missing traces. Raises StorageError."""
        numbers = self.missing(wanted)
        sample = numbers[np.linspace(0, len(numbers) - 1, _SAMPLE).astype(int)] if len(numbers) else numbers
        some, count = np.unique(sample).tolist(), len(numbers)
        began = time.perf_counter()
        for number in some:
            self._read(number)
        each = (time.perf_counter() - began) / max(1, len(some))
        size = sum(map(self._size, some)) / max(1, len(some))
        return Estimate(count, round(size * count), each * count, self.shelf.size_of(count))

    def extend(
        self,
        on_progress: OnProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
        wanted: Numbers | None = None,
    ) -> bool:
        """Read the traces that are missing; False when `cancelled` said True before the end.

        What was read is kept then, and when something is raised. Where another process is at it, this one
        waits and counts its work. `wanted` are the numbers of the traces to be sure of; by default all.
        Raises StorageError when a disk fails.
        """
        total = 0
        while True:
            todo = self.missing(wanted)
            total = total or len(todo)
            if on_progress and total:
                on_progress(total - len(todo), total)
            if not len(todo):
                return True
            if cancelled is not None and cancelled():
                return False
            with self.shelf.writing() as held:
                if held and not self._extend(wanted, total, on_progress, cancelled):
                    return False
            if not held:
                time.sleep(_POLL_S)

    def keep(self, rows: Sequence[Row]) -> bool:
        """Add what somebody has read anyway; False when another process is writing. Raises StorageError."""
        with self.shelf.writing() as held:
            if held:
                there = {key for part in self.matrix(held=True).rows for key in each(part.keys)}
                self._commit([row for row in rows if row[0] not in there])
        return held

    def add(self, keys: list[bytes], values: Floats) -> None:
        """Add rows that no trace was read for: what benches fill a store with. Values (row, width)."""
        with self.shelf.writing() as held:
            if not held:
                raise StorageError(
                    f"another process is reading vectors of {self.cell}; try again when it is done"
                )
            self.shelf.append(self.shelf.head(), Rows.made(keys, [THERE] * len(keys), values))

    def _extend(
        self,
        wanted: Numbers | None,
        total: int,
        on_progress: OnProgress | None,
        cancelled: Callable[[], bool] | None,
    ) -> bool:
        """Read what is missing, with the lock held; False when cancelled."""
        todo, since = self.missing(wanted, held=True), time.monotonic()
        again = set(self._unreadable(self.matrix(held=True)).tolist())
        self._retried = True
        batch: list[Row] = []
        try:
            for done, number in enumerate(todo.tolist(), total - len(todo) + 1):
                key, kind, vector = self._read(number)
                if not (kind == DAMAGED and number in again):
                    batch.append((key, kind, vector))
                if on_progress:
                    on_progress(min(done, total), total)
                if len(batch) >= self.shelf.capacity or time.monotonic() > since + COMMIT_S:
                    self._commit(batch)
                    since = time.monotonic()
                if cancelled is not None and cancelled():
                    return False
        finally:
            self._commit(batch)
        return True

    def _commit(self, batch: list[Row]) -> None:
        """Write what was read, and empty the batch."""
        if batch:
            keys, kinds, vectors = zip(*batch, strict=True)
            new = Rows.made(keys, kinds, np.stack(vectors))
            batch.clear()
            blocks = [block for block in self.shelf.head() if self._is_whole(block)]
            self.shelf.append(blocks, new)

    def _read(self, number: int) -> Row:
        """What there is to keep of one trace."""
        entry = self.index.entry(number)
        try:
            kind, vector = self.cell.read(self.index.capture.read(entry, number))
        except (IntegrityError, UntrustedError, NotFoundError):
            kind, vector = DAMAGED, None
        nothing = np.full(self.cell.width, np.nan, np.float32)
        return key_of(entry.manifest_sha256), kind, nothing if vector is None else vector

    def _size(self, number: int) -> int:
        """Bytes that reading it takes, about."""
        with suppress(IntegrityError, UntrustedError, NotFoundError):
            return bytes_of(self.index.trace(number), [self.cell.tensor])
        return 0

    def _unreadable(self, matrix: Matrix) -> Numbers:
        """Numbers of the traces that were damaged when they were read, if they were not tried again yet."""
        if self._retried:
            return np.empty(0, np.int64)
        there = np.flatnonzero(matrix.places >= 0)
        damaged: Numbers = there[matrix.kinds[matrix.places[there]] == DAMAGED]
        return damaged[:_MENDABLE] + 1

    def _matrix(self, blocks: list[Block]) -> Matrix:
        keys = self._keys_now()
        with self._lock:
            state = (keys.state, tuple(block.serial for block in blocks))
            if self._placed is None or self._placed[0] != state:
                rows = [self.shelf.rows(block) for block in blocks]
                self._placed = (state, Matrix(self.shelf, blocks, rows, places(keys.keys, rows)))
            return self._placed[1]

    def _keys_now(self) -> _Keys:
        count = len(self.index)
        state = (self.index.generation, count)
        with _known_lock:
            known = _known.get(self.index)
            if known is None or known.state != state:
                joined = self.index.query(_KEYS, (count,))[0][0] or ""
                known = _known[self.index] = _Keys(state, _keys(self.index, joined, count))
            return known

    def _is_whole(self, block: Block) -> bool:
        try:
            self.shelf.check(block)
        except (DamagedError, OSError):
            return False
        return True


def key_of(manifest_sha256: str) -> bytes:
    """16 bytes that stand for one manifest. A journal may say anything."""
    try:
        key = bytes.fromhex(manifest_sha256[: 2 * KEY_BYTES])
    except ValueError:
        key = b""
    return key if len(key) == KEY_BYTES else hashlib.sha256(manifest_sha256.encode()).digest()[:KEY_BYTES]


def _keys(index: Index, joined: str, count: int) -> NDArray[np.uint8]:
    """Keys (trace, 16) of the traces 1 to count."""
    try:
        data = bytes.fromhex(joined)
    except ValueError:
        data = b""
    if len(data) != count * KEY_BYTES:
        found = index.query("SELECT manifest_sha256 FROM traces WHERE row <= ? ORDER BY row", (count,))
        data = b"".join(key_of(digest) for (digest,) in found)
    return np.frombuffer(data, np.uint8).reshape(-1, KEY_BYTES)
