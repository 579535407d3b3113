"""Numeric columns: the last token's value of every signal field, per layer, for all traces.

A column is cut into blocks of BLOCK traces; a block is one file of float32, (layer, trace), so one layer
of a million traces is 4 MB to read and not 120. Values of attention fields are means over heads. NaN
means absent: not captured, no such layer, a damaged trace.

What the files hold is said by the table `blocks` of the database, in the same transaction as the rows: the
part of a file up to `filled` never changes, what lies beyond is nobody's. A block that has to grow, or to
forget rows, is written as a new file. Readers map the files and check each layer's CRC-32 when they first
touch it; files that this process did not check are never believed.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.files import make_dir, write_all, write_file
from tensorshark.traces.index.seal import DamagedError

BLOCK = 16384
_CAPACITIES = (256, 1024, 4096, BLOCK)
"""A block starts small, so the index of a small capture is small."""

_VIEWS = 8192
"""Views of blocks that a column remembers: some hundred bytes each."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """One row of the table `blocks`: what is in one file."""

    serial: str
    layers: int
    capacity: int
    filled: int
    """Traces with a value (or a NaN) in this block."""
    sums: bytes
    """CRC-32 (layer,) uint32 of each layer's first `filled` values."""

    def file(self, folder: Path, name: str, block: int) -> Path:
        """Where the values are."""
        return folder / name / f"{block:06d}.{self.serial}.f32"


@dataclass
class _Mapped:
    """A block's file as this process sees it."""

    serial: str
    values: Floats
    """(layer, capacity)"""
    checked: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Layer -> traces checked so far, and their CRC-32."""
    whole: bytes = b""
    """The checksums that all layers were last checked against."""

    def check(self, shape: Shape, layers: range) -> None:
        """Raises DamagedError unless the filled part of these layers is what was written."""
        if self.whole == shape.sums:
            return
        sums = np.frombuffer(shape.sums, dtype="<u4")
        for layer in layers:
            done, crc = self.checked.get(layer, (0, 0))
            if done > shape.filled:  # an older view of a block that has grown since
                continue
            if done < shape.filled:
                crc = _crc(self.values[layer, done : shape.filled], crc)
            if crc != int(sums[layer]):
                raise DamagedError(f"layer {layer} of a column block")
            self.checked[layer] = (shape.filled, crc)
        if len(layers) == shape.layers:
            self.whole = shape.sums


class Store:
    """The column files of one generation of the index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: dict[tuple[str, int], _Mapped] = {}

    def shapes(self, connection: sqlite3.Connection, name: str) -> dict[int, Shape]:
        """Block number -> what is in it, for one field."""
        rows = connection.execute(
            "SELECT block, serial, layers, capacity, filled, sums FROM blocks WHERE field = ?", (name,)
        ).fetchall()
        return {block: Shape(*rest) for block, *rest in rows}

    def values(self, name: str, block: int, shape: Shape, layers: range) -> Floats:
        """Checked values (layer, filled) of one block; a view of the mapped file.

        Raises DamagedError, or FileNotFoundError when the block was written anew since `shape` was read.
        """
        mapped = self._mapped.get((name, block))
        if mapped is None or mapped.serial != shape.serial:
            mapped = _Mapped(shape.serial, _map(shape.file(self.folder, name, block), shape))
            self._mapped[name, block] = mapped
        mapped.check(shape, layers)
        return mapped.values[layers.start : layers.stop, : shape.filled]

    def append(
        self, connection: sqlite3.Connection, first: int, values: Mapping[str, Floats], count: int
    ) -> list[Path]:
        """Add `count` traces from position `first` (0-based); fields not in `values` get NaN.

        `values` are (layer, trace). Call inside the transaction that adds the rows; returns files that are
        superseded once it is committed.
        """
        stale: list[Path] = []
        known = {name for (name,) in connection.execute("SELECT DISTINCT field FROM blocks").fetchall()}
        for name in sorted(known | set(values)):
            done, shapes = 0, self.shapes(connection, name)
            while done < count:
                block, start = divmod(first + done, BLOCK)
                size = min(count - done, BLOCK - start)
                new = values[name][:, done : done + size] if name in values else None
                if block in shapes or new is not None:
                    stale += self._extend(connection, name, block, shapes.get(block), start, new, size)
                done += size
        return stale

    def truncate(self, connection: sqlite3.Connection, count: int) -> list[Path]:
        """Forget all traces from position `count` on, inside a transaction; returns superseded files."""
        stale = []
        last, kept = divmod(count, BLOCK)
        query = "SELECT field, block, serial, layers, capacity, filled, sums FROM blocks WHERE block >= ?"
        for name, block, *rest in connection.execute(query, (last,)).fetchall():
            shape = Shape(*rest)
            connection.execute("DELETE FROM blocks WHERE field = ? AND block = ?", (name, block))
            stale.append(shape.file(self.folder, name, block))
            if block == last and kept:
                old = self.values(name, block, shape, range(shape.layers))
                self._write(connection, name, block, np.array(old[:, :kept]))
        return stale

    def _extend(
        self,
        connection: sqlite3.Connection,
        name: str,
        block: int,
        shape: Shape | None,
        start: int,
        new: Floats | None,
        count: int,
    ) -> list[Path]:
        """Add (layer, count) values at `start` of one block, in place where there is room."""
        if (
            shape is not None
            and (new is None or len(new) <= shape.layers)
            and start + count <= shape.capacity
        ):
            padded = np.full((shape.layers, count), np.nan, dtype=np.float32)
            if new is not None:
                padded[: len(new)] = new
            self._append_in_place(connection, name, block, shape, padded)
            return []
        layers = max(len(new) if new is not None else 0, shape.layers if shape else 0)
        whole = np.full((layers, start + count), np.nan, dtype=np.float32)
        if shape is not None:
            whole[: shape.layers, : shape.filled] = self.values(name, block, shape, range(shape.layers))
        if new is not None:
            whole[: len(new), start:] = new
        self._write(connection, name, block, whole)
        return [shape.file(self.folder, name, block)] if shape else []

    def _append_in_place(
        self, connection: sqlite3.Connection, name: str, block: int, shape: Shape, new: Floats
    ) -> None:
        fd = os.open(shape.file(self.folder, name, block), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        sums = np.frombuffer(shape.sums, dtype="<u4").copy()
        try:
            for layer in range(shape.layers):
                offset = 4 * (layer * shape.capacity + shape.filled)
                os.lseek(fd, offset, os.SEEK_SET)
                write_all(fd, new[layer].tobytes())
                sums[layer] = _crc(new[layer], int(sums[layer]))
        finally:
            os.close(fd)
        connection.execute(
            "UPDATE blocks SET filled = ?, sums = ? WHERE field = ? AND block = ?",
            (shape.filled + new.shape[1], sums.tobytes(), name, block),
        )

    def _write(self, connection: sqlite3.Connection, name: str, block: int, whole: Floats) -> None:
        """Write values (layer, filled) as a new file with room to grow."""
        layers, filled = whole.shape
        capacity = next(size for size in _CAPACITIES if size >= filled)
        values = np.full((layers, capacity), np.nan, dtype="<f4")
        values[:, :filled] = whole
        sums = np.array([_crc(row[:filled]) for row in values], dtype="<u4")
        shape = Shape(secrets.token_hex(4), layers, capacity, filled, sums.tobytes())
        make_dir(self.folder)
        make_dir(self.folder / name)
        write_file(shape.file(self.folder, name, block), values.tobytes(), sync=False)
        connection.execute(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, block, shape.serial, layers, capacity, filled, shape.sums),
        )


def remove(files: Sequence[Path]) -> None:
    """Remove superseded files; readers that have them mapped keep them."""
    for path in files:
        with suppress(FileNotFoundError):
            path.unlink()


def _crc(values: Floats, start: int = 0) -> int:
    """CRC-32 of contiguous values (trace,), going on from `start`."""
    return zlib.crc32(values.data, start)


def _map(path: Path, shape: Shape) -> Floats:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = 4 * shape.layers * shape.capacity
        if os.fstat(fd).st_size != size:  # a mapped file that is too short kills the process
            raise DamagedError(f"{path.name} has the wrong size")
        data = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
    return np.frombuffer(data, dtype="<f4").reshape(shape.layers, shape.capacity)


Recover = Callable[[], tuple[Store, Mapping[int, Shape]]]
"""Called when a block is damaged or gone: returns where the values are now."""


class Extents(NamedTuple):
    """Between which numbers the values of each block and layer lie; NaN where there is none."""

    low: Floats
    """(block, layer)"""
    high: Floats
    """(block, layer)"""
    full: NDArray[np.bool_]
    """(block, layer); True where each trace has a value."""


class Column:
    """The last token's values of one field for the first `count` traces, as they were when it was asked for.

    Layers are model layers; heads are averaged. NaN where there is no value. Any thread may call any method.
    """

    def __init__(
        self, name: str, count: int, store: Store, shapes: Mapping[int, Shape], recover: Recover
    ) -> None:
        self.name = name
        self.count = count
        """Traces in this column."""
        self.layer_count = max((shape.layers for shape in shapes.values()), default=0)
        """Layers with a value in any trace: 0 when the field was never captured."""
        self._store = store
        self._shapes = shapes
        self._recover = recover
        self._views: dict[tuple[int, int, int], Floats] = {}
        self._extents: dict[tuple[int, int], Extents] = {}

    def blocks(self, lo: int = 0, hi: int | None = None) -> Iterator[tuple[int, Floats]]:
        """(position of the first trace, values (layer, trace)) per block of layers lo..hi-1.

        The fast way to test a predicate on many traces: values are views of mapped files, nothing is
        copied but blocks with missing layers. Layers past the end are NaN.
        """
        for block in range(-(-self.count // BLOCK)):
            yield block * BLOCK, self.block(block, lo, hi)

    def block(self, block: int, lo: int = 0, hi: int | None = None) -> Floats:
        """Values (layer, trace) of one block, as `blocks` gives them."""
        hi = self.layer_count if hi is None else max(lo, hi)
        values = self._views.get((block, lo, hi))
        if values is None:
            values = self._block(block, range(lo, hi), min(BLOCK, self.count - block * BLOCK))
            if not values.flags.owndata:
                if len(self._views) >= _VIEWS:
                    self._views.clear()
                self._views[block, lo, hi] = values
        return values

    def extents(self, lo: int, hi: int, check: Callable[[], None] = lambda: None) -> Extents:
        """Of layers lo..hi-1 of all blocks: what they rule out need not be read. Found out once.

        `check` is called before each block, and may raise.
        """
        found = self._extents.get((lo, hi))
        if found is None:
            blocks = []
            for _, values in self.blocks(lo, hi):
                check()
                blocks.append(_extent(values))
            low, high, full = np.array(blocks, np.float32).reshape(-1, 3, hi - lo).swapaxes(0, 1)
            found = self._extents[lo, hi] = Extents(low, high, full == 1)
        return found

    def layers(self, lo: int = 0, hi: int | None = None) -> Floats:
        """Values (layer, trace) of layers lo..hi-1 for all traces, copied. Layers past the end are NaN."""
        hi = self.layer_count if hi is None else max(lo, hi)
        out = np.empty((hi - lo, self.count), dtype=np.float32)
        for start, values in self.blocks(lo, hi):
            out[:, start : start + values.shape[1]] = values
        return out

    def at(self, numbers: Sequence[int] | NDArray[np.int64]) -> Floats:
        """Values (layer, trace) of the traces with these numbers (from 1), all layers."""
        positions = np.asarray(numbers, dtype=np.int64) - 1
        out = np.full((self.layer_count, len(positions)), np.nan, dtype=np.float32)
        which = positions // BLOCK
        for block in set(which.tolist()):
            here = which == block
            values = self._block(block, range(self.layer_count), min(BLOCK, self.count - block * BLOCK))
            out[:, here] = values[:, positions[here] - block * BLOCK]
        return out

    def _block(self, block: int, layers: range, count: int) -> Floats:
        """Values (layer, count) of one block, a view where the file has all of it."""
        try:
            return self._read(block, layers, count)
        except (DamagedError, OSError):
            self._store, self._shapes = self._recover()
            return self._read(block, layers, count)

    def _read(self, block: int, layers: range, count: int) -> Floats:
        shape = self._shapes.get(block)
        if shape is None:
            return np.full((len(layers), count), np.nan, dtype=np.float32)
        stored = range(layers.start, max(layers.start, min(layers.stop, shape.layers)))
        values = self._store.values(self.name, block, shape, stored)[:, :count]
        if values.shape == (len(layers), count):
            return values
        out = np.full((len(layers), count), np.nan, dtype=np.float32)
        out[: len(stored), : values.shape[1]] = values
        return out


def _extent(values: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Smallest and largest of values (layer, trace), and whether all are there: (layer,) each."""
    low, high = values.min(axis=1), values.max(axis=1)
    full = ~np.isnan(low)
    if not full.all():
        low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    return low, high, full
