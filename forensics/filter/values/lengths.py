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
        return self.function.of(self.inner.cells(batch))

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
        left, right = self.pair.cells(batch)  # (layer, head, pos, trace, d_model)
        if left.shape[-1] != right.shape[-1]:  # of models of two widths
            return np.full(np.broadcast_shapes(left.shape[:-1], right.shape[:-1]), np.nan)
        return self.function.of(left, right)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return self.pair.coordinates(batch, axis)
