"""Functions of values."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.filter.fields import POS, Type
from tensorshark.forensics.filter.functions import Function
from tensorshark.forensics.filter.values.arrays import Array, folded
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.derived import OfOne
from tensorshark.forensics.filter.values.operands import Tier
from tensorshark.forensics.filter.values.relations import said
from tensorshark.forensics.filter.values.selection import Quantity


class Applied(OfOne, frozen=True):
    """A function of a value."""

    function: Function
    constants: tuple[int | float, ...] = ()
    """What else it was given."""

    @property
    def type(self) -> Type:
        return self.function.gives

    @property
    def axes(self) -> tuple[str, ...]:
        return () if self.function.reduces else self.inner.axes

    @property
    def many(self) -> bool:
        return self.inner.many and not self.function.reduces

    @property
    def always(self) -> bool:
        return self.inner.always or self.function.nothing is not None

    @property
    def whole(self) -> bool:
        return self.function.whole or (not self.function.reduces and self.inner.whole)

    @property
    def tier(self) -> Tier:
        if self.function.place and POS in self.inner.axes:
            return Tier.TRACE  # which token the nth selected one is differs from trace to trace
        return self.inner.tier

    def words(self, quantity: Quantity) -> str:
        inner = self.inner.words("all" if self.function.reduces else quantity)
        given = "".join(f" {said(constant)} of" for constant in self.constants)
        return f"{self.function.words}{given} {inner}"

    def make(self, batch: Batch) -> Array:
        cells = self.inner.cells(batch)
        function = self.function
        with np.errstate(all="ignore"):  # inf - inf and the mean of nothing are NaN, which is absent
            if not function.reduces:
                return function.of(cells)
            if function.keeps_one and not self.inner.axes:
                return cells  # float32 as it is stored: of a million traces nothing is copied
            made = self._reduced(cells)
            return self._placed(batch, made) if function.place else made

    def _reduced(self, cells: Array) -> Array:
        """(layer, head, pos, trace) with size 1 along the axes that are not those of variables."""
        several = folded(cells, self.inner.bound)  # (cell, layer, head, pos, trace)
        if len(several) == 0:
            nothing = np.nan if self.function.nothing is None else self.function.nothing
            return np.full(several.shape[1:], nothing)
        if several.dtype != object:
            several = several.astype(np.float64, copy=False)
        return self.function.of(several, *self.constants)

    def _placed(self, batch: Batch, places: Array) -> Array:
        """The layer, head or position that is at each place along the one axis."""
        (axis,) = self.inner.axes
        known = np.array([*self.inner.coordinates(batch, axis), np.nan], dtype=np.float64)
        return known[np.where(np.isnan(places), -1, places).astype(np.int64)]
