"""What `+ - * / %` make of values: cell by cell, in float64."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tensorshark.forensics.filter.fields import AXES, POS, Type
from tensorshark.forensics.filter.values.arrays import Array, aligned, unbroken
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.operands import Tier, Value
from tensorshark.forensics.filter.values.relations import said
from tensorshark.forensics.filter.values.selection import Quantity

_MAKES: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
}
_SAID = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}


def operation(operator: str, left: Any, right: Any) -> Any:
    """`left operator right` as IEEE 754 has it, for float64 numbers or arrays; a NaN is absent."""
    with np.errstate(all="ignore"):
        return _MAKES[operator](left, right)


class Fixed(Value, frozen=True):
    """A number as it was typed, on one side of an operation."""

    number: int | float

    @property
    def type(self) -> Type:
        return "number"

    @property
    def always(self) -> bool:
        return True

    @property
    def tier(self) -> Tier:
        return Tier.INDEX

    def words(self, quantity: Quantity) -> str:
        return said(self.number)

    def make(self, batch: Batch) -> Array:
        return np.full((1, 1, 1, 1), float(self.number))


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


class Arithmetic(Value, frozen=True):
    """Two values and an operator between them; numbers, or tensors where that has a meaning."""

    left: Value
    operator: str
    right: Value

    @property
    def pair(self) -> Pair:
        """Its sides."""
        return Pair(self.left, self.right)

    @property
    def type(self) -> Type:
        return "tensor" if "tensor" in (self.left.type, self.right.type) else "number"

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

    def words(self, quantity: Quantity) -> str:
        left, right = (
            f"({side.words(quantity)})" if isinstance(side, Arithmetic) else side.words(quantity)
            for side in self.parts
        )
        return f"{left} {_SAID[self.operator]} {right}"

    def make(self, batch: Batch) -> Array:
        left, right = (side.astype(np.float64, copy=False) for side in self.pair.cells(batch))
        made: Array = operation(self.operator, left, right)
        return made

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.pair.coordinates(batch, axis)


class Negative(Value, frozen=True):
    """Unary minus."""

    inner: Value

    @property
    def type(self) -> Type:
        return self.inner.type

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
    def always(self) -> bool:
        return self.inner.always

    @property
    def tier(self) -> Tier:
        return self.inner.tier

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.inner,)

    def words(self, quantity: Quantity) -> str:
        inner = self.inner.words(quantity)
        return f"minus ({inner})" if isinstance(self.inner, Arithmetic) else f"minus {inner}"

    def make(self, batch: Batch) -> Array:
        return -self.inner.cells(batch)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.inner.coordinates(batch, axis)
