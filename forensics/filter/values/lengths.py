"""Functions of tensors: lengths of vectors, and how far apart two are."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.functions import Function
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.derived import OfOne, OfTwo
from tensorshark.forensics.filter.values.selection import Quantity


class OfTensor(OfOne, frozen=True):
    """`norm(t)`: a number for each vector."""

    function: Function

    @property
    def type(self) -> Type:
        return "number"

    def words(self, quantity: Quantity) -> str:
        return f"{self.function.words} {self.inner.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        return self.function.of(self.inner.cells(batch))


class OfTensors(OfTwo, frozen=True):
    """`cos(t, u)`, `dist(t, u)`: a number for each two vectors that meet."""

    function: Function

    @property
    def type(self) -> Type:
        return "number"

    def words(self, quantity: Quantity) -> str:
        return f"{self.function.words} {self.left.words(quantity)} and {self.right.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        left, right = self.pair.cells(batch)  # (layer, head, pos, trace, d_model)
        if left.shape[-1] != right.shape[-1]:  # of models of two widths
            return np.full(np.broadcast_shapes(left.shape[:-1], right.shape[:-1]), np.nan)
        return self.function.of(left, right)
