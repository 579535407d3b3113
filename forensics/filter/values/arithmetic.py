"""What `+ - * / %` make of values: cell by cell, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.derived import OfOne, OfTwo
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


class Arithmetic(OfTwo, frozen=True):
    """Two values and an operator between them; numbers, or tensors where that has a meaning."""

    operator: str

    @property
    def type(self) -> Type:
        return "tensor" if "tensor" in (self.left.type, self.right.type) else "number"

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


class Negative(OfOne, frozen=True):
    """Unary minus."""

    @property
    def type(self) -> Type:
        return self.inner.type

    @property
    def always(self) -> bool:
        return self.inner.always

    def words(self, quantity: Quantity) -> str:
        inner = self.inner.words(quantity)
        return f"minus ({inner})" if isinstance(self.inner, Arithmetic) else f"minus {inner}"

    def make(self, batch: Batch) -> Array:
        return -self.inner.cells(batch)
