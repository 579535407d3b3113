"""Measured values of many traces, in memory: one field at one selection, by trace id.

A trace's values are an array with the field's axes, whose sizes may differ from trace to trace. All lie one
after the other, float64, or int32 into a list of words for texts and truths.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ids = NDArray[np.uint64]
"""Trace ids as numbers."""

ABSENT = -1
"""Place of a word that is not there; of a reason, when nothing failed."""


_TOGETHER = 1 << 20
"""Cells that are gathered at a time."""


class DamagedError(Exception):
    """A chunk is not what was written."""


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """The values of some traces, as they are kept on disk."""

    ids: bytes
    """uint64 (trace,)"""
    sizes: bytes
    """int32 (trace, axis): the shape of each trace's array; zeros where measuring failed."""
    data: bytes
    """Of all traces one after the other; float32 where that loses nothing."""
    dtype: str
    """`<f4`, `<f8` or `<i4`."""
    words: list[str | bool]
    """What int32 data are places in."""
    failed: bytes
    """int32 (trace,): place in `reasons`, ABSENT where nothing failed."""
    reasons: list[str]


def pack(chunk: Chunk) -> tuple[int, bytes]:
    """CRC-32 and bytes."""
    body = _encoder.encode(chunk)
    return zlib.crc32(body), body


def unpack(crc: int, body: bytes) -> Chunk:
    """Raises DamagedError unless the chunk is what was written."""
    if zlib.crc32(body) != crc:
        raise DamagedError
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        raise DamagedError from None


def chunk(found: Sequence[tuple[int, Array | str]], axes: int, texts: bool) -> Chunk:
    """A chunk of (trace id, cells with `axes` axes, or why there are none)."""
    empty = np.full((0,) * axes, None) if texts else np.full((0,) * axes, np.nan)
    arrays = [each if isinstance(each, np.ndarray) else empty for _, each in found]
    reasons = list(dict.fromkeys(each for _, each in found if isinstance(each, str)))
    failed = [reasons.index(each) if isinstance(each, str) else ABSENT for _, each in found]
    sizes = np.array([array.shape for array in arrays], "<i4").reshape(len(arrays), axes)
    flat = np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0)
    words: list[str | bool] = []
    if flat.dtype == object:
        places: dict[str | bool | None, int] = {None: ABSENT}
        flat = np.array([places.setdefault(each, len(places) - 1) for each in flat.tolist()], "<i4")
        words = [word for word in places if word is not None]
    else:
        narrow = flat.astype("<f4")
        same = np.array_equal(narrow.astype("<f8"), flat, equal_nan=True)
        flat = narrow if same else flat.astype("<f8")
    return Chunk(
        ids=np.array([trace for trace, _ in found], "<u8").tobytes(),
        sizes=sizes.tobytes(),
        data=flat.tobytes(),
        dtype=flat.dtype.str,
        words=words,
        failed=np.array(failed, "<i4").tobytes(),
        reasons=reasons,
    )


class Column:
    """What is known of one field at one selection."""

    def __init__(self, axes: int, texts: bool) -> None:
        self.axes = axes
        self.texts = texts
        """True for texts and truths, whose cells are objects; False for numbers."""
        self.ids: Ids = np.empty(0, np.uint64)
        self.reasons: list[str] = []
        self.read = 0
        """Serial number of the last chunk on disk that is in it."""
        self._sizes = np.empty((0, axes), np.int32)
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)
        """Where each trace's values begin, and where the last one's end."""
        self._data: Array = np.empty(0, np.int32 if texts else np.float64)
        self._failed = np.empty(0, np.int32)
        self._counted: tuple[int, dict[str, int]] = (0, {})
        self._words: list[str | bool] = []
        self._places: tuple[Ids, int, NDArray[np.int32]] = (self.ids, 0, np.empty(0, np.int32))

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self._data.nbytes + self._sizes.nbytes + self.ids.nbytes * 3 + self._places[2].nbytes

    def extend(self, new: Chunk) -> None:
        """Take in a chunk; of a trace that is there twice, the later one counts."""
        data = np.frombuffer(new.data, new.dtype)
        if self.texts:
            place = {word: at for at, word in enumerate(self._words)}
            moved = [place.setdefault(word, len(place)) for word in new.words]
            self._words = list(place)
            data = np.array([*moved, ABSENT], np.int32)[data]
        sizes = np.frombuffer(new.sizes, "<i4").reshape(len(new.ids) // 8, self.axes)
        ends = self._starts[-1] + np.cumsum(sizes.prod(axis=1, dtype=np.int64))
        failed = np.frombuffer(new.failed, "<i4")
        failed = np.where(failed == ABSENT, ABSENT, failed + len(self.reasons)).astype(np.int32)
        self.reasons = [*self.reasons, *new.reasons]
        self._data = np.concatenate([self._data, data])
        self._sizes = np.concatenate([self._sizes, sizes])
        self._starts = np.concatenate([self._starts, ends])
        self._failed = np.concatenate([self._failed, failed])
        self.ids = np.concatenate([self.ids, np.frombuffer(new.ids, "<u8")])

    @property
    def reasons_counted(self) -> dict[str, int]:
        """Reason -> how many traces failed for it."""
        if self._counted[0] != len(self.ids):
            counts = np.bincount(self._failed[self._failed >= 0], minlength=len(self.reasons))
            found: dict[str, int] = {}
            for reason, count in zip(self.reasons, counts.tolist(), strict=True):
                found[reason] = found.get(reason, 0) + count
            self._counted = (len(self.ids), found)
        return self._counted[1]

    def places(self, ids: Ids) -> NDArray[np.int32]:
        """Where each trace is, ABSENT where it was not measured; remembered for the same array of ids."""
        if self._places[0] is not ids or self._places[1] != len(self.ids):
            found = np.full(len(ids), ABSENT, np.int32)
            if len(self.ids):
                order = np.argsort(self.ids, kind="stable")
                at = np.searchsorted(self.ids, ids, side="right", sorter=order) - 1
                there = (at >= 0) & (self.ids[order[at]] == ids)
                found[there] = order[at[there]]
            self._places = (ids, len(self.ids), found)
        return self._places[2]

    def cells(self, places: NDArray[np.int32]) -> Array:
        """Cells (axis …, trace) of traces at these places; those with fewer cells than others end absent."""
        there = places >= 0
        sizes = self._sizes[places[there]] if len(self._sizes) else np.empty((0, self.axes), np.int32)
        shape = tuple(sizes.max(axis=0).tolist()) if len(sizes) else (0,) * self.axes
        count = int(np.prod(shape, dtype=np.int64))
        nothing = ABSENT if self.texts else np.nan
        out = np.full((len(places), *shape), nothing, self._data.dtype)
        starts = self._starts[places[there]]
        rows = np.flatnonzero(there)
        step = max(1, _TOGETHER // max(1, count))
        for at in range(0, len(rows) if count else 0, step):
            part = slice(at, at + step)
            out[rows[part]] = self._gathered(starts[part], sizes[part], shape, nothing)
        cells = np.moveaxis(out, 0, -1)
        return self._worded(cells) if self.texts else cells

    def _gathered(
        self, starts: NDArray[np.int64], sizes: NDArray[np.int32], shape: tuple[int, ...], nothing: float
    ) -> Array:
        """Data (trace, axis …) of arrays of these sizes that begin at these places."""
        if (sizes == shape).all():
            inside = starts[:, None] + np.arange(np.prod(shape, dtype=np.int64))
            even: Array = self._data[inside].reshape(-1, *shape)
            return even
        where = starts.reshape(-1, *[1] * self.axes)
        there = np.ones_like(where, dtype=bool)
        for axis, size in enumerate(shape):
            along = np.arange(size).reshape(-1, *[1] * (self.axes - axis - 1))
            own = sizes[:, axis].reshape(-1, *[1] * self.axes)
            stride = sizes[:, axis + 1 :].prod(axis=1, dtype=np.int64).reshape(-1, *[1] * self.axes)
            where = where + along * stride
            there = there & (along < own)
        found: Array = np.where(there, self._data[np.where(there, where, 0)], nothing)
        return found

    def failures(self, places: NDArray[np.int32]) -> dict[str, tuple[int, int]]:
        """Reason -> how many of the traces at these places failed for it, and which of them first."""
        found: dict[str, tuple[int, int]] = {}
        failed = np.where(places >= 0, self._failed[places], ABSENT) if len(self._failed) else places * 0 - 1
        for at, reason in enumerate(self.reasons):
            those = np.flatnonzero(failed == at)
            if len(those):
                count, first = found.get(reason, (0, int(those[0])))
                found[reason] = (count + len(those), min(first, int(those[0])))
        return found

    def _worded(self, places: Array) -> Array:
        """Places in the list of words as the words themselves, None for ABSENT."""
        words = np.empty(len(self._words) + 1, dtype=object)
        words[: len(self._words)] = self._words
        words[ABSENT] = None
        return words[places]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Chunk)
