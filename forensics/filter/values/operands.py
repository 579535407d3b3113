"""What is compared: fields with their selections, and functions of them.

A value is read in the cheapest way that answers the question, and every way gives the same answer:

    INDEX   for all traces at once: SQL with bound parameters, or numpy over the index's columns
    ROWS    for the traces that are still in question: Python over rows of the index
    TRACE   for those that are still in question then: from the trace's manifest or statistics

A NaN is no value, and neither is one that was not captured or belongs to a damaged trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader

Cell = str | int | float | bool
Shown = Cell | None | list[Any]
"""A cell, None where it is absent, or nested lists of them, one level per axis that is left."""
Numbers = NDArray[np.int64]


class Tier(IntEnum):
    """How dear an answer is; see the top of this file."""

    INDEX = 0
    ROWS = 1
    TRACE = 2


def holds(values: Any, relation: Relation, quantifier: Quantifier) -> bool:
    """Whether any, or all, of one trace's values satisfy the relation; False when there is no value."""
    if len(values) == 0:
        return False
    if isinstance(values, np.ndarray):
        found = relation.array(values)
        return bool(found.any() if quantifier == "any" else found.all())
    decide = any if quantifier == "any" else all
    return decide(relation.one(value) for value in values)


def quantified(found: Bools, cells: NDArray[Any], quantifier: Quantifier) -> Bools:
    """`holds` for many traces: found and cells are (cell, trace), the cells NaN where there is no value."""
    present = ~np.isnan(cells)
    if quantifier == "any":
        any_: Bools = (found & present).any(axis=0)
        return any_
    all_: Bools = present.any(axis=0) & (found | ~present).all(axis=0)
    return all_


class Value(msgspec.Struct, frozen=True):
    """Something that each trace has none, one or several of."""

    @property
    def type(self) -> Type:
        """Of each cell."""
        raise NotImplementedError

    @property
    def single(self) -> bool:
        """True when a trace has at most one cell."""
        raise NotImplementedError

    @property
    def always(self) -> bool:
        """True when every undamaged trace has one."""
        raise NotImplementedError

    @property
    def tier(self) -> Tier:
        """What `read` costs: ROWS or TRACE."""
        raise NotImplementedError

    def words(self, quantity: Quantity) -> str:
        """A noun: `residual norm after layer 12 at the last token`."""
        raise NotImplementedError

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        """(number, values) of these traces, which ascend; values are an array of numbers without NaN, or a
        list. Traces without any may be left out."""
        raise NotImplementedError

    def asks(self, relation: Relation) -> Tier:
        """What it costs to ask for this relation."""
        return self.tier

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        """The answer for all traces (trace,), where `asks` says INDEX."""
        raise NotImplementedError

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
        """The answer for some traces, where `asks` says ROWS or TRACE: those of `numbers` that satisfy it."""
        found = self.read(reader, numbers)
        return [number for number, values in found if holds(values, relation, quantifier)]

    def blocks(self, reader: Reader) -> Iterator[tuple[int, NDArray[Any]]] | None:
        """(position of the first trace, numbers (cell, trace)) for all traces; None where it takes more."""
        return None

    def ordered(self, reader: Reader, descending: bool) -> Numbers | None:
        """All traces that have a value, by it and then ascending; None where the index does not hold it."""
        return None

    def show(self, reader: Reader, numbers: Numbers) -> list[Shown]:
        """What a column prints for these traces, in ascending order."""
        found = dict(self.read(reader, numbers))
        shown: list[Shown] = []
        for number in numbers.tolist():
            values = found.get(number, [])
            plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
            shown.append((plain[0] if plain else None) if self.single else plain)
        return shown


def asked_in_blocks(value: Value, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
    """The answer for all traces, block by block."""
    answer = np.zeros(reader.count, dtype=bool)
    for start, cells in value.blocks(reader) or ():
        reader.check()
        answer[start : start + cells.shape[1]] = quantified(relation.array(cells), cells, quantifier)
    return answer
