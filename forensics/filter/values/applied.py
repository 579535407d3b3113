"""Functions of values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.functions import Function
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value, asked_in_blocks
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader


class Applied(Value, frozen=True):
    """A function of a value."""

    function: Function
    inner: Value

    @property
    def type(self) -> Type:
        return self.function.gives

    @property
    def single(self) -> bool:
        return self.function.reduces or self.inner.single

    @property
    def always(self) -> bool:
        return self.inner.always or self.function.nothing is not None

    @property
    def tier(self) -> Tier:
        return self.inner.tier

    def words(self, quantity: Quantity) -> str:
        inner = self.inner.words("all" if self.function.reduces else quantity)
        return f"{self.function.words} {inner}"

    @property
    def indexed(self) -> bool:
        """True when the index's columns are enough."""
        return (
            isinstance(self.inner, Signal | Applied)
            and self.inner.indexed
            and self.function.cells is not None
        )

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX if self.indexed else self.tier

    def blocks(self, reader: Reader) -> Iterator[tuple[int, NDArray[Any]]] | None:
        source = self.inner.blocks(reader) if self.indexed else None
        return None if source is None else self._blocks(source)

    def _blocks(self, source: Iterator[tuple[int, NDArray[Any]]]) -> Iterator[tuple[int, NDArray[Any]]]:
        make = self.function.cells
        assert make is not None, "indexed says so"
        for start, cells in source:
            with np.errstate(all="ignore"):  # inf - inf and the mean of nothing are NaN, which is absent
                made = make(np.asarray(cells, np.float64)) if len(cells) else np.full(cells.shape[1], np.nan)
            yield start, np.atleast_2d(made)

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        return asked_in_blocks(self, reader, relation, quantifier)

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        if self.function.nothing is None:
            for number, values in self.inner.read(reader, numbers):
                yield number, self._made(values)
            return
        found = dict(self.inner.read(reader, numbers))
        for number in numbers.tolist():
            yield number, self._made(found.get(number, ()))

    def _made(self, values: Any) -> list[Any]:
        if len(values) == 0:
            return [] if self.function.nothing is None else [self.function.nothing]
        if not self.function.reduces:
            return [self.function.of(value) for value in values]
        if self.function.takes == "number":
            with np.errstate(all="ignore"):
                made = float(self.function.of(np.asarray(values, np.float64)))
            return [] if np.isnan(made) else [made]
        return [self.function.of(values)]
