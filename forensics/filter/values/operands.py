"""What is compared: fields with their selections, functions of them, and what arithmetic makes of them.

A value has cells: an array (layer, head, pos, trace) for the traces of a batch, which `cells` gives. Where
they come from says what they cost, and every way gives the same answer:

    INDEX   for all traces at once: numpy over the index's columns, or SQL with bound parameters
    ROWS    for the traces that are still in question: rows of the index
    TRACE   for those that are still in question then: each trace's manifest, statistics and tensors

A NaN is no value, and neither is one that was not captured or belongs to a damaged trace.

A new kind of value is a class here: `type`, `tier`, `words`, `make`, and `picks` or `axes` if it has axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import AXES, HEAD, LAYER, POS, FieldInfo, Type
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arrays import (
    AXIS,
    Array,
    folded,
    nested,
    present,
    quantified,
    satisfied,
)
from tensorshark.forensics.filter.values.relations import Bools, Present, Relation
from tensorshark.forensics.filter.values.selection import Pick, Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
    from tensorshark.forensics.filter.values.reader import Reader

Cell = str | int | float | bool
Shown = Cell | None | list[Any]
"""A cell, None where it is absent, or nested lists of them, one level per axis that is left."""
Numbers = NDArray[np.int64]
AHEAD = 8
"""Opened traces that are held, so that several questions about them read their files once."""


class Tier(IntEnum):
    """How dear an answer is; see the top of this file."""

    INDEX = 0
    ROWS = 1
    TRACE = 2


class Value(msgspec.Struct, frozen=True):
    """Something that each trace has none, one or several of."""

    @property
    def type(self) -> Type:
        """Of each cell."""
        raise NotImplementedError

    @property
    def axes(self) -> tuple[str, ...]:
        """Those along which a trace may have several cells, in the order of AXES."""
        return ()

    @property
    def bound(self) -> tuple[str, ...]:
        """Those along which a variable of `any(l, p: …)` runs."""
        return ()

    @property
    def torn(self) -> frozenset[str]:
        """Axes along which, somewhere within, cells of a variable meet several cells."""
        return frozenset().union(*(part.torn for part in self.parts))

    @property
    def many(self) -> bool:
        """True when a trace may have several cells and there is no axis; they lie along that of pos."""
        return False

    @property
    def single(self) -> bool:
        """True when a trace has at most one cell."""
        return not self.axes and not self.bound and not self.many

    @property
    def ragged(self) -> bool:
        """True when the cells of several traces are filled up to those of the longest."""
        return any(part.ragged for part in self.parts)

    @property
    def always(self) -> bool:
        """True when every undamaged trace has one."""
        return False

    @property
    def whole(self) -> bool:
        """True for numbers that are whole and shown so."""
        return False

    @property
    def tier(self) -> Tier:
        """What `cells` needs."""
        raise NotImplementedError

    def now(self, reader: Reader, numbers: Numbers) -> Tier:
        """What `cells` needs for these traces as things are: `tier`, or less where what would have to be read
        of them is kept beside the index."""
        return cheapest(self.tier, self.parts, reader, numbers)

    @property
    def parts(self) -> tuple[Value, ...]:
        """The values that it is made of."""
        return ()

    def words(self, quantity: Quantity) -> str:
        """A noun: `residual norm after layer 12 at the last token`."""
        raise NotImplementedError

    # Cells

    def cells(self, batch: Batch) -> Array:
        """(layer, head, pos, trace), of tensors with a last axis d_model; see `arrays`."""
        return batch.once(self, lambda: self.make(batch))

    def make(self, batch: Batch) -> Array:
        """What `cells` remembers. The batch is one that `tier` allows: TRACE values are asked for with a
        TraceBatch, all others also with an IndexBatch."""
        raise NotImplementedError

    def there(self, batch: Batch) -> Bools:
        """Which cells there are (layer, head, pos, trace)."""
        return present(self.cells(batch))

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        """Model layers, heads or positions of the cells along an axis of the value; none where it has not got
        the axis. Of an opened trace, or of layers."""
        return []

    # Questions about many traces at once

    def asks(self, relation: Relation) -> Tier:
        """What it costs to ask for this relation."""
        return self.tier

    def fits(
        self, batch: Batch, relation: Relation, quantifier: Quantifier, kept: tuple[str, ...] = ()
    ) -> Bools:
        """Whether any, or all, of the cells satisfy the relation: (layer, head, pos, trace), with size 1
        along the axes that are not kept."""
        kept = tuple(axis for axis in kept if axis in self.bound)
        if type(relation) is Present:
            there = self.there(batch)
            return quantified(there, there, quantifier, kept)
        cells = self.cells(batch)
        found = satisfied(cells, relation)
        if quantifier == "any":
            return quantified(found, found, quantifier, kept)
        if kept or not found.size:
            return quantified(found, present(cells), quantifier, kept)
        every = np.asarray(folded(found).all(axis=0))  # settled where all cells fit; absent ones do not
        rest = np.flatnonzero(~every)
        if len(rest):
            every[..., rest] = quantified(found[..., rest], present(cells[..., rest]), quantifier)
        return every

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        """The answer for all traces (trace,), where `asks` says INDEX."""
        answer = np.zeros(reader.count, dtype=bool)
        for batch in reader.batches():
            answer[batch.where] = self.fits(batch, relation, quantifier).reshape(-1)
        return answer

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
        """The answer for some traces, where `asks` says ROWS or TRACE: those of `numbers` that satisfy it."""
        opens = type(relation) is Present and self.type == "tensor"  # what there is says the manifest
        tier = self.tier if opens else self.now(reader, numbers)
        found = [
            batch.numbers[np.broadcast_to(self.fits(batch, relation, quantifier).reshape(-1), batch.count)]
            for batch in batches(tier, reader, numbers, self.ragged)
        ]
        return np.sort(np.concatenate([np.empty(0, np.int64), *found]))

    def ordered(self, reader: Reader, descending: bool) -> Numbers | None:
        """All traces that have a value, by it and then ascending; None where SQL does not know the order."""
        return None

    def show(self, reader: Reader, numbers: Numbers) -> list[Shown]:
        """What a column prints for these traces, in ascending order."""
        shown: dict[int, Shown] = {}
        for batch in batches(self.now(reader, numbers), reader, numbers):
            cells = self.cells(batch)  # (layer, head, pos, trace)
            cells = np.broadcast_to(cells, (*cells.shape[:3], batch.count))
            for at, number in enumerate(batch.numbers.tolist()):
                shown[number] = self._shown(cells[..., at])
        return [shown[number] for number in numbers.tolist()]

    def _shown(self, cells: Array) -> Shown:
        if self.many:
            return sorted(cell for cell in cells.ravel().tolist() if cell is not None)
        found: Shown = nested(cells, self.axes, self.whole)
        return found


class Selected(Value, frozen=True):
    """A field with axes to select from."""

    field: FieldInfo
    picks: tuple[Pick, ...]
    """One per axis of the field, in the field's order."""

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(pick.axis for pick in self.picks if not pick.single and not pick.variable)

    @property
    def bound(self) -> tuple[str, ...]:
        return tuple(pick.axis for pick in self.picks if pick.variable)

    def pick(self, axis: str) -> Pick:
        """The selection along one axis of the field."""
        return next(pick for pick in self.picks if pick.axis == axis)

    def words(self, quantity: Quantity) -> str:
        named = {pick.axis: pick.words(quantity) for pick in self.picks}
        parts = [self.field.noun]
        if LAYER in named:
            parts[0] += f" {named[LAYER]}"
        if HEAD in named:
            parts.append(f"of {named[HEAD]}")
        if POS in named:
            parts.append(f"at {named[POS]}")
        return " ".join(parts)

    def coordinates(self, batch: Batch, axis: str) -> list[int]:
        return next((list(batch.indices(pick)) for pick in self.picks if pick.axis == axis), [])

    def indices(self, batch: TraceBatch) -> tuple[list[int], ...]:
        """The selected layers, heads and positions of one trace; one cell along an axis it lacks."""
        named = {pick.axis: pick for pick in self.picks}
        return tuple(batch.indices(named[axis]) if axis in named else [0] for axis in AXES)


def batches(
    tier: Tier, reader: Reader, numbers: Numbers, ragged: bool = False
) -> Iterator[IndexBatch | TraceBatch]:
    """These traces as a value of this tier needs them: opened one by one, or rows of the index together,
    fewer at a time for one that is ragged."""
    if tier is not Tier.TRACE:
        for batch in reader.batches(numbers):
            if ragged:
                from tensorshark.forensics.filter.values.narrow import narrowed

                yield from narrowed(batch)
            else:
                yield batch
        return
    for number in numbers.tolist():
        reader.check()
        yield reader.opened(number)
    if len(numbers) > AHEAD:  # a filter asks about fewer at a time, and finishes itself
        reader.finish()


def cheapest(tier: Tier, parts: tuple[Value, ...], reader: Reader, numbers: Numbers) -> Tier:
    """`Value.now` of what is made of `parts`; positions that are paired trace by trace stay so."""
    if tier is not Tier.TRACE or not parts or any(POS in part.axes for part in parts):
        return tier
    return max(part.now(reader, numbers) for part in parts)


def sizes(cells: Array) -> dict[str, int]:
    """Axis -> how many cells the array has along it."""
    return {axis: cells.shape[place] for axis, place in AXIS.items()}
