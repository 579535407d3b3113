"""Values that analyzers make: measured where nobody has yet, and kept beside the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics.filter.fields import AXES, LAYER, POS
from tensorshark.forensics.filter.values.arrays import AXIS, Array
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Numbers, Selected, Shown, Tier

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.forensics.measured.declared import Declared


class Measured(Selected, frozen=True):
    """A field of an analyzer."""

    @property
    def declared(self) -> Declared:
        """What the analyzer says of it."""
        from tensorshark.forensics.measured import declared

        found = declared.find(self.field.name)
        assert found is not None, "the field came from there"
        return found

    @property
    def whole(self) -> bool:
        return self.declared.whole

    @property
    def tier(self) -> Tier:
        """Kept values are as good as rows of the index; what a variable runs over has to be exact."""
        return Tier.TRACE if set(self.bound) - {LAYER} else Tier.ROWS

    @property
    def ragged(self) -> bool:
        return POS in self.axes

    def make(self, batch: Batch) -> Array:
        """Of several traces: as many cells as the largest has, absent behind the end of the others."""
        if isinstance(batch, TraceBatch):
            return self._of_trace(batch)
        assert isinstance(batch, IndexBatch)
        found = self._placed(self._kept(batch))
        layers = len(batch.reader.plan(self.pick(LAYER), batch.layers)) if LAYER in self.field.axes else 1
        return _padded(found, (layers, *found.shape[1:]))

    def show(self, reader: Reader, numbers: Numbers) -> list[Shown]:
        if self.single:
            return super().show(reader, numbers)
        if len(numbers):
            self._cells(reader, numbers)  # all at once; then each with the cells that it has
        return [self._shown(self._placed(self._cells(reader, number))[..., 0]) for number in numbers[:, None]]

    def _of_trace(self, batch: TraceBatch) -> Array:
        """Of one trace: exactly the cells that are selected."""
        shape = tuple(len(chosen) for chosen in self.indices(batch))
        if batch.row is not None:
            return _padded(self._placed(self._kept(batch.row)), shape)
        from tensorshark.forensics.measured.held import measured

        found = None if batch.trace is None else measured(self.declared, self.picks, batch.trace)
        nothing = np.nan if self.type == "number" else None
        if found is None:
            return np.full((*shape, 1), nothing)
        return self._placed(found[..., None])

    def _kept(self, batch: IndexBatch) -> Array:
        """Cells (axis …, trace)."""
        return self._cells(batch.reader, batch.numbers)

    def _cells(self, reader: Reader, numbers: Numbers) -> Array:
        from tensorshark.forensics.measured.measuring import Measures

        measures = reader.once(Measures, lambda: Measures.of(reader.index))
        return measures.cells(self.declared, self.picks, numbers, reader.check)

    def _placed(self, cells: Array) -> Array:
        """Cells (axis …, trace) with all axes (layer, head, pos, trace)."""
        missing = [AXIS[axis] for axis in AXES if axis not in self.field.axes]
        return np.expand_dims(cells, missing)


def _padded(cells: Array, shape: tuple[int, ...]) -> Array:
    """Cells with more absent ones at the end, so that there are at least so many along each axis."""
    wider = [max(0, size - have) for size, have in zip(shape, cells.shape, strict=False)]
    if not any(wider):
        return cells
    sizes = [have + more for have, more in zip(cells.shape, wider, strict=False)]
    out = np.full((*sizes, *cells.shape[len(wider) :]), np.nan if cells.dtype != object else None)
    out[tuple(slice(have) for have in cells.shape)] = cells
    return out
