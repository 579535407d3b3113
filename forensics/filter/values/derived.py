"""What values that are made of others have in common: of one, or of two that meet cell by cell."""

from __future__ import annotations

import msgspec
import numpy as np

from tensorshark.forensics.filter.fields import AXES, POS
from tensorshark.forensics.filter.values.arrays import Array, aligned, unbroken
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.operands import Tier, Value


class OfOne(Value, frozen=True):
    """A value with the axes and the costs of the one that it is made of."""

    inner: Value

    @property
    def axes(self) -> tuple[str, ...]:
        return self.inner.axes

    @property
    def bound(self) -> tuple[str, ...]:
        return self.inner.bound

    @property
    def many(self) -> bool:
        return self.inner.many

    @property
    def tier(self) -> Tier:
        return self.inner.tier

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.inner,)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.inner.coordinates(batch, axis)


class Pair(msgspec.Struct, frozen=True):
    """What holds of two values that meet cell by cell."""

    left: Value
    right: Value

    @property
    def axes(self) -> tuple[str, ...]:
        """Those along which cells are left."""
        either = {*self.left.axes, *self.right.axes}  # asked once: three times would be 3^depth
        return tuple(axis for axis in AXES if axis in either)

    @property
    def bound(self) -> tuple[str, ...]:
        """Those along which a variable runs."""
        either = {*self.left.bound, *self.right.bound}  # asked once: three times would be 3^depth
        return tuple(axis for axis in AXES if axis in either)

    @property
    def torn(self) -> frozenset[str]:
        """Axes along which a variable runs on one side while the other side has several cells: each cell of
        the variable meets all of those."""
        ours, theirs = (self.left.bound, self.right.axes), (self.right.bound, self.left.axes)
        own = {axis for bound, open_ in (ours, theirs) for axis in bound if axis in open_}
        return frozenset(own) | self.left.torn | self.right.torn

    @property
    def tier(self) -> Tier:
        """Positions meet trace by trace: one has more tokens than another."""
        if all(POS in (*side.axes, *side.bound) for side in (self.left, self.right)):
            return Tier.TRACE
        return max(self.left.tier, self.right.tier)

    def cells(self, batch: Batch) -> list[Array]:
        """Of both, so that they can be broadcast; a tensor's vectors stand behind."""
        sides = [
            unbroken(side.cells(batch), tuple(axis for axis in self.bound if axis not in side.bound))
            for side in (self.left, self.right)
        ]
        if len({side.shape[4] for side in sides if side.ndim > 4}) > 1:
            # Vectors of two models that differ in width: no cell of one meets a cell of the other.
            sides = [np.full((1, 1, 1, 1, 1), np.nan) for _ in sides]
        if any(side.ndim > 4 for side in sides):
            sides = [side if side.ndim > 4 else side[..., None] for side in sides]
        return aligned(*sides)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        """Those of the left side, unless it is repeated."""
        left, right = self.left.coordinates(batch, axis), self.right.coordinates(batch, axis)
        repeated = not left or (len(left) == 1 and len(right) > 1)
        return right if repeated else left


class OfTwo(Value, frozen=True):
    """A value of two that meet cell by cell."""

    left: Value
    right: Value

    @property
    def pair(self) -> Pair:
        """Its sides."""
        return Pair(self.left, self.right)

    @property
    def axes(self) -> tuple[str, ...]:
        return self.pair.axes

    @property
    def bound(self) -> tuple[str, ...]:
        return self.pair.bound

    @property
    def torn(self) -> frozenset[str]:
        return self.pair.torn

    @property
    def many(self) -> bool:
        return self.left.many or self.right.many

    @property
    def tier(self) -> Tier:
        return self.pair.tier

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.left, self.right)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.pair.coordinates(batch, axis)
