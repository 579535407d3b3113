"""`$field`: what a field is in the selected trace, the same beside all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tensorshark.forensics.filter.fields import HEAD, POS, Type
from tensorshark.forensics.filter.values.arrays import AXIS, Array
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.derived import OfOne
from tensorshark.forensics.filter.values.operands import Tier, batches
from tensorshark.forensics.filter.values.selection import Quantity
from tensorshark.traces.errors import FilterError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader

SELECTED = "$, the selected trace,"
"""Why a filter with `$field` needs an index, in words."""
NOBODY = "no trace is selected, and $ speaks of the selected one"


class Reference(OfOne, frozen=True):
    """A field of the selected trace, read once."""

    depends: ClassVar[frozenset[str]] = frozenset({"selected"})

    @property
    def type(self) -> Type:
        return self.inner.type

    @property
    def whole(self) -> bool:
        return self.inner.whole

    @property
    def tier(self) -> Tier:
        """How many heads and tokens a variable runs over is known of an opened trace."""
        return Tier.TRACE if {HEAD, POS} & {*self.bound} else Tier.INDEX

    def words(self, quantity: Quantity) -> str:
        return f"{self.inner.words(quantity)} of the selected trace"

    def make(self, batch: Batch) -> Array:
        reader = _reader(batch)
        if reader is None or not reader.context.selected:
            raise FilterError(NOBODY)
        cells = reader.once(self, lambda: self._selected(reader))
        for axis in self.bound:
            size = batch.sizes[axis] if isinstance(batch, TraceBatch) else batch.layers
            cells = _fitted(cells, AXIS[axis], size)
        return cells

    def _selected(self, reader: Reader) -> Array:
        """(layer, head, pos, 1) of the selected trace."""
        number = np.array([reader.context.selected])
        if not 0 < number[0] <= reader.count:
            raise FilterError(f"no trace number {number[0]} among {reader.count:,}")
        (batch,) = batches(self.inner.now(reader, number), reader, number)
        return self.inner.cells(batch)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        reader = _reader(batch)
        if reader is None:
            return []
        return self.inner.coordinates(reader.opened(reader.context.selected), axis)


def _fitted(cells: Array, axis: int, size: int) -> Array:
    """As many cells along an axis as a variable has there; those that the selected trace lacks are absent."""
    cells = cells.take(range(min(size, cells.shape[axis])), axis=axis)
    lacking = list(cells.shape)
    lacking[axis] = size - cells.shape[axis]
    if not lacking[axis]:
        return cells
    absent = np.full(lacking, None if cells.dtype == object else np.nan, dtype=cells.dtype)
    return np.concatenate([cells, absent], axis=axis)


def _reader(batch: Batch) -> Reader | None:
    """Of the question that the batch is asked for; None for a trace that is in no index."""
    row = batch if isinstance(batch, IndexBatch) else getattr(batch, "row", None)
    return row.reader if row is not None else None
