"""Tensors of one cell per trace, kept beside the index: asked about once, they are rows of it.

`norm(resid_post#12[-1])` opens traces as long as there is nothing else; what it reads of them is kept, and
the next question about the same layer and position, whatever it is, opens none.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import LAYER
from tensorshark.forensics.filter.syntax.tree import At, Named, Through
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.index.cell import Cell, bytes_of
from tensorshark.traces.index.seal import DamagedError
from tensorshark.traces.index.vector_files import ABSENT, THERE
from tensorshark.traces.index.vectors import COMMIT_S, Row, Vectors, key_of
from tensorshark.traces.sites import SITES

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index
    from tensorshark.traces.index.matrix import Matrix

Numbers = NDArray[np.int64]

_FEW = 256
"""Traces that are read without a word where nearly all others have been."""
_NEARLY_ALL = 20
"""One in so many may be missing then."""
_BYTES = 4 << 20
"""Vectors that are collected before they are written."""


class Held:
    """The vectors of one cell, while one question is answered."""

    def __init__(self, reader: Reader, vectors: Vectors) -> None:
        self.reader = reader
        self.vectors = vectors
        self.lacks = np.zeros(reader.count, dtype=bool)
        """Traces (trace,) that would have to be opened."""
        self._matrix = vectors.matrix()
        missing = vectors.missing()
        self.lacks[missing[missing <= reader.count] - 1] = True
        self._offered: dict[int, Row] = {}
        self._stale = self._full = False
        """Whether rows were written that the matrix has not; whether there is no room for more."""
        self._since = time.monotonic()
        reader.closing.append(self.flush)

    def ready(self, numbers: Numbers) -> bool:
        """True when the vectors of these traces are here, or as good as."""
        missing = int(self.lacks[numbers - 1].sum())
        return missing == 0 or (missing <= _FEW and missing * _NEARLY_ALL <= len(numbers))

    def take(self, numbers: Numbers) -> NDArray[np.float32]:
        """(trace, width), NaN where there is none; what is missing is read now. Raises Cancelled."""
        from tensorshark.forensics.similar import reading

        self.flush()
        if not self._stale and not self.lacks[numbers - 1].any():
            with suppress(DamagedError, FileNotFoundError):
                return self._matrix.at(numbers)

        def ask(matrix: Matrix) -> NDArray[np.float32]:
            self._matrix, self._stale = matrix, False
            return matrix.at(numbers)

        found = reading(self.vectors, ask, numbers, None, self._cancelled)
        self.lacks[numbers - 1] = False
        return found

    def squares(self, numbers: Numbers) -> NDArray[np.float64]:
        """`dots` of the vectors that `take` gave with themselves (trace,)."""
        rows = self._matrix.places[numbers - 1]
        return np.where(rows >= 0, self._matrix.squares[rows], np.nan)

    def offer(self, number: int, vector: NDArray[np.float32] | None) -> None:
        """Keep what was read of a trace; None: it has none."""
        if self._full or number in self._offered or not self.lacks[number - 1]:
            return
        width = self.vectors.cell.width
        key = key_of(self.reader.index.entry(number).manifest_sha256)
        row = np.full(width, np.nan) if vector is None else vector
        self._offered[number] = (key, ABSENT if vector is None else THERE, np.array(row, np.float32))
        if time.monotonic() > self._since + COMMIT_S or len(self._offered) * 4 * width > _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was offered. Where it cannot be written, it is read again some day."""
        offered, self._offered, self._since = self._offered, {}, time.monotonic()
        if offered:
            try:
                written = self.vectors.keep(list(offered.values()))
            except TensorsharkError:
                self._full = True
                return
            self._stale |= written
            self.lacks[np.array(list(offered)) - 1] = not written

    def _cancelled(self) -> bool:
        from tensorshark.forensics.filter.values.reader import Cancelled

        try:
            self.reader.check()
        except Cancelled:
            return True
        return False


def held(reader: Reader, site: str, picks: tuple[Pick, ...]) -> Held | None:
    """The vectors that a site with these selections has, where that is one per trace; else None."""
    return reader.once(("vectors", site, picks), lambda: _held(reader, site, picks))


def nearly_all(index: Index, site: str, picks: tuple[Pick, ...]) -> bool:
    """True when `held` is probably ready for any traces: quickly, for who is typing."""
    cell = _cell(index, site, picks)
    return cell is not None and len(index.vectors(cell)) * _NEARLY_ALL >= len(index) * (_NEARLY_ALL - 1)


def tensor_bytes(index: Index, site: str, layers: Pick) -> int:
    """About what reading these layers of a site takes per trace, by the first that can be read."""
    if (index.capture.uuid, site, layers) not in _sizes:
        for number in range(1, min(len(index), 8) + 1):
            with suppress(TensorsharkError):
                trace = index.trace(number)
                names = [SITES[site].at(layer) for layer in layers.indices(trace.model.layers)]
                _sizes[index.capture.uuid, site, layers] = bytes_of(trace, names)
                break
    return _sizes.get((index.capture.uuid, site, layers), 0)


_sizes: dict[tuple[str, str, Pick], int] = {}


def _held(reader: Reader, site: str, picks: tuple[Pick, ...]) -> Held | None:
    cell = _cell(reader.index, site, picks)
    if cell is None:
        return None
    return reader.once(("vectors", cell), lambda: Held(reader, reader.index.vectors(cell)))


def _cell(index: Index, site: str, picks: tuple[Pick, ...]) -> Cell | None:
    """What is asked of each trace, where that is one vector and all are of one width."""
    models = list(index.capture.models().values())
    shapes = {(model.layers, model.d_model) for model in models}
    if len(shapes) != 1 or any(not pick.single or pick.variable for pick in picks):
        return None  # vectors of several widths are not rows of one matrix
    ((depth, width),) = shapes
    layers = next(pick for pick in picks if pick.axis == LAYER).indices(depth)
    position = _position(next(pick for pick in picks if pick.axis != LAYER))
    if len(layers) != 1 or position is None:
        return None
    try:
        return Cell.of(site, layers[0], position, width)
    except TensorsharkError:
        return None


def _position(pick: Pick) -> str | None:
    """`-1` or `prompt[-1]`."""
    (part,) = pick.parts
    if isinstance(part, Named):
        if part.name == "all" or part.parts is None or len(part.parts) != 1:
            return None  # a trace may have a span of that name
        within = _index(part.parts[0])
        return None if within is None else f"{part.name}[{within}]"
    index = _index(part)
    return None if index is None else str(index)


def _index(part: object) -> int | None:
    if isinstance(part, At):
        return part.index
    return part.first if isinstance(part, Through) and part.first == part.last else None
