"""Functions of tensors: lengths of vectors, and how far apart two are."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.functions import Function
from tensorshark.forensics.filter.values.arithmetic import Pair
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.operands import Tier, Value
from tensorshark.forensics.filter.values.selection import Quantity

_TOGETHER = 1 << 22
"""Numbers that are converted to float64 at a time."""


class OfTensor(Value, frozen=True):
    """`norm(t)`: a number for each vector."""

    function: Function
    inner: Value

    @property
    def type(self) -> Type:
        return "number"

    @property
    def axes(self) -> tuple[str, ...]:
        return self.inner.axes

    @property
    def bound(self) -> tuple[str, ...]:
        return self.inner.bound

    @property
    def tier(self) -> Tier:
        return self.inner.tier

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.inner,)

    def words(self, quantity: Quantity) -> str:
        return f"{self.function.words} {self.inner.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        return _by_parts(self.function, self.inner.cells(batch))

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.inner.coordinates(batch, axis)


class OfTensors(Value, frozen=True):
    """`cos(t, u)`, `dist(t, u)`: a number for each two vectors that meet."""

    function: Function
    left: Value
    right: Value

    @property
    def pair(self) -> Pair:
        """Its arguments."""
        return Pair(self.left, self.right)

    @property
    def type(self) -> Type:
        return "number"

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
    def tier(self) -> Tier:
        return self.pair.tier

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.left, self.right)

    def words(self, quantity: Quantity) -> str:
        return f"{self.function.words} {self.left.words(quantity)} and {self.right.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        left, right = self.pair.cells(batch)
        shape = np.broadcast_shapes(left.shape, right.shape)
        return _by_parts(self.function, np.broadcast_to(left, shape), np.broadcast_to(right, shape))

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.pair.coordinates(batch, axis)


def _by_parts(function: Function, *tensors: Array) -> Array:
    """The function of tensors (layer, head, pos, trace, d_model), some vectors at a time, in float64."""
    *shape, width = tensors[0].shape
    flat = [tensor.reshape(int(np.prod(shape)), width) for tensor in tensors]
    made = np.full(len(flat[0]), np.nan)
    step = max(1, _TOGETHER // max(1, width))
    with np.errstate(all="ignore"):
        for start in range(0, len(made) if width else 0, step):
            some = [tensor[start : start + step].astype(np.float64) for tensor in flat]
            made[start : start + step] = function.of(*some)
    return made.reshape(shape)
