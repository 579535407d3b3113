"""The vectors of one cell as a matrix: which row is whose, and what stands in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.index.vector_files import KEY_BYTES, ROUNDED, Block, Floats, Rows, Shelf

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Matrix:
    """The vectors as they were at one moment: views of mapped files, checked when first touched."""

    shelf: Shelf
    blocks: list[Block]
    rows: list[Rows]
    """One per block; `values` unchecked: read them with `values`."""
    places: Numbers
    """Row of each trace of the index (trace,), over all blocks; -1 where the trace was not read yet."""

    def __len__(self) -> int:
        """Traces of the index."""
        return len(self.places)

    @cached_property
    def starts(self) -> Numbers:
        """First row of each block, and the number of rows (block + 1,)."""
        return np.cumsum([0, *(block.rows for block in self.blocks)], dtype=np.int64)

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """Squared norms (row,), as `dots` has them."""
        return np.concatenate([np.empty(0), *(rows.squares for rows in self.rows)])

    @cached_property
    def kinds(self) -> NDArray[np.uint8]:
        """What each row is (row,)."""
        return np.concatenate([np.empty(0, np.uint8), *(rows.kinds for rows in self.rows)])

    @property
    def exact(self) -> bool:
        """False when a trace holds more digits than float32, and comparing has to open it."""
        return not (self.kinds == ROUNDED).any()

    def values(self, block: int) -> Floats:
        """One block (row, width). Raises DamagedError, or FileNotFoundError: see `Vectors.reading`."""
        return self.shelf.check(self.blocks[block])

    def check(self, blocks: Sequence[int]) -> None:
        """Compare these blocks with their checksums, all processors at once. Raises as `values` does."""
        fresh = [block for block in blocks if not self.shelf.is_checked(self.blocks[block])]
        if len(fresh) > 1:
            with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
                for _ in threads.map(self.values, fresh):
                    pass

    def take(self, rows: Numbers) -> Floats:
        """The vectors of these rows, in their order (row, width), copied. Raises as `values` does."""
        out = np.empty((len(rows), self.shelf.width), np.float32)
        which = np.searchsorted(self.starts, rows, side="right") - 1
        for block in np.unique(which).tolist():
            here = which == block
            out[here] = self.values(block)[rows[here] - self.starts[block]]
        return out

    def at(self, numbers: Numbers) -> Floats:
        """The vectors of these traces (trace, width), NaN where there is none; not to be written to.

        Raises as `values` does.
        """
        wanted = np.asarray(numbers, np.int64) - 1
        there = wanted < len(self)  # an index that was made again may have fewer
        rows = np.full(len(wanted), -1, np.int64)
        rows[there] = self.places[wanted[there]]
        if len(rows) and rows[0] >= 0 and (np.diff(rows) == 1).all():
            return self._run(int(rows[0]), int(rows[-1]) + 1)
        out = np.full((len(rows), self.shelf.width), np.nan, np.float32)
        out[rows >= 0] = self.take(rows[rows >= 0])
        return out

    def _run(self, start: int, stop: int) -> Floats:
        """The vectors of rows that follow each other; of one block, as they are mapped."""
        first, last = (np.searchsorted(self.starts, (start, stop - 1), side="right") - 1).tolist()
        self.check(range(first, last + 1))
        parts = [
            self.values(block)[max(0, start - at) : stop - at]
            for block in range(first, last + 1)
            for at in (int(self.starts[block]),)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def places(keys: NDArray[np.uint8], parts: list[Rows]) -> Numbers:
    """Row of each key (trace,), -1 where there is none; of several rows with one key, the last."""
    stored = np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *(part.keys for part in parts)])
    if np.array_equal(stored, keys[: len(stored)]):  # read in capture order: nearly always
        rows = np.arange(len(keys), dtype=np.int64)
        return np.where(rows < len(stored), rows, -1)
    known = {key: row for row, key in enumerate(each(stored))}
    return np.fromiter((known.get(key, -1) for key in each(keys)), np.int64, len(keys))


def each(keys: NDArray[np.uint8]) -> Iterator[bytes]:
    """The keys as bytes."""
    data = keys.tobytes()
    return (data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES))
