"""`any(l, p: …)`: several comparisons about the same layer, head or token."""

from __future__ import annotations

import re
from functools import reduce
from typing import Any, TypeVar

import msgspec
import numpy as np

from tensorshark.forensics.filter.answers.predicates import (
    Both,
    Comparison,
    Either,
    Exclusive,
    Leaf,
    Paired,
    Predicate,
)
from tensorshark.forensics.filter.fields import AXES, LAYER
from tensorshark.forensics.filter.syntax.tree import At, Quantifier
from tensorshark.forensics.filter.values.applied import Applied
from tensorshark.forensics.filter.values.arrays import AXIS, quantified
from tensorshark.forensics.filter.values.batch import Batch, TraceBatch
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.operands import Tier, Value
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.relations import Bools, Present
from tensorshark.forensics.filter.values.selection import Pick, noun

T = TypeVar("T")
_WHOSE = re.compile(r'("[^"]*")|(?<![^ (])whose ')
"""The beginning of a comparison in words; what is quoted is left alone."""


class Correlated(Leaf, frozen=True):
    """Any, or all, of the cells of the variables satisfy the body.

    Asked are the cells at which a value in the body that uses a variable is there; all wants one of them.
    """

    quantifier: Quantifier
    variables: tuple[tuple[str, str], ...]
    """(name, axis)"""
    body: Predicate

    @property
    def axes(self) -> tuple[str, ...]:
        """Those of the variables."""
        return tuple(axis for axis in AXES if axis in [axis for _, axis in self.variables])

    @property
    def tier(self) -> Tier:
        return max(leaf.reads for leaf in self.body.leaves())

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(value for leaf in self.body.leaves() for value in leaf.values)

    def everywhere(self, reader: Reader) -> Bools:
        may = self._may(reader)
        if may is None:
            return super().everywhere(reader)
        answer = np.zeros(reader.count, dtype=bool)
        for batch, layers in zip(reader.batches(), may, strict=False):
            there = np.flatnonzero(layers)
            if len(there):
                batch.variable = range(there[0], there[-1] + 1)
                answer[batch.where] = self.truth(batch).reshape(-1)
        return answer

    def _may(self, reader: Reader) -> Bools | None:
        """At which layers (block, layer) the body may be true of a trace of a block; None where the
        columns do not say it."""
        leaves = list(self.body.leaves())
        if self.quantifier != "any" or self.axes != (LAYER,) or len(reader.depths) != 1:
            return None
        if not all(isinstance(leaf, Comparison) and _column(leaf.value) for leaf in leaves):
            return None
        depth = reader.depths[0]
        bounds = []
        for part in self.body.parts if isinstance(self.body, Both) else (self.body,):
            if isinstance(part, Comparison) and part.value.bound:
                signal = _column(part.value)
                assert signal is not None
                extents = reader.column(signal.field.name).extents(0, depth, reader.check)
                bounds.append(part.relation.between(extents.low, extents.high)[0])
        return np.logical_and.reduce(bounds) if bounds else None

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        true, asked = self.cells(batch)
        return quantified(true & asked, asked, self.quantifier)

    def cells(self, batch: Batch) -> tuple[Bools, Bools]:
        """Where the body is true, and what is asked: (layer, head, pos, trace), size 1 along other axes."""
        asked = self.quantifier == "all" or not _implies(self.body)
        values = dict.fromkeys(value for value in self.values if value.bound) if asked else ()
        return _cells(self.body, tuple(values), batch, self.axes)

    def words(self, negated: bool = False) -> str:
        said = [f"{noun(axis)} {name}" for name, axis in self.variables]
        body = _WHOSE.sub(lambda found: found[1] or "the ", self.body.words())
        if self.quantifier == "any":
            listed = " and ".join(f"a {one}" for one in said)
            return f"{'without' if negated else 'with'} {listed} where {body}"
        return f"where {'not ' * negated}at every {' and every '.join(said)} {body}"


def _column(value: Value) -> Signal | None:
    """The signal whose column of the index a value is, cell by cell; None where it is anything else."""
    if isinstance(value, Applied) and value.function.keeps_one and not value.inner.axes:
        return _column(value.inner)
    return value if isinstance(value, Signal) and value.indexed and not value.axes else None


def _cells(
    body: Predicate, values: tuple[Value, ...], batch: Batch, axes: tuple[str, ...]
) -> tuple[Bools, Bools]:
    """`Correlated.cells`. Asked is where one of the values is there; of no values, where the body is true."""
    torn = next((axis for leaf in body.leaves() for axis in leaf.torn), None)
    if torn is not None:
        # A cell of the variable meets several cells on the same axis: there is no room for both in an array.
        rest = tuple(axis for axis in axes if axis != torn)
        cells = range(_size(batch, torn))
        parts = [_cells(fixed(body, torn, at), fixed(values, torn, at), batch, rest) for at in cells]
        if parts:
            true, asked = (np.concatenate(side, axis=AXIS[torn]) for side in zip(*parts, strict=True))
            return true, asked
        nowhere = np.zeros((0, 1, 1, 1), dtype=bool)
        return nowhere, nowhere
    true = body.truth(batch, axes)
    if not values:
        return true, true
    asked = reduce(np.logical_or, (value.fits(batch, Present(), "any", axes) for value in values))
    shape = np.broadcast_shapes(true.shape, asked.shape)
    return np.broadcast_to(true, shape), np.broadcast_to(asked, shape)


def _size(batch: Batch, axis: str) -> int:
    return batch.sizes[axis] if isinstance(batch, TraceBatch) else batch.layers


def _implies(predicate: Predicate) -> bool:
    """True when it can only be true where a value that uses a variable is there."""
    match predicate:
        case Comparison() | Paired():
            return any(value.bound for value in predicate.values)
        case Both():
            return any(map(_implies, predicate.parts))
        case Either() | Exclusive():
            return all(map(_implies, predicate.parts))
    return False


def fixed(thing: T, axis: str, at: int) -> T:
    """A predicate or value with one index in the place of the variable that runs along an axis."""
    if isinstance(thing, Pick):
        return Pick(axis, (At(at),)) if thing.variable and thing.axis == axis else thing  # type: ignore[return-value]
    if isinstance(thing, tuple):
        return tuple(fixed(part, axis, at) for part in thing)  # type: ignore[return-value]
    if isinstance(thing, Value | Predicate):
        changed: dict[str, Any] = {
            name: fixed(getattr(thing, name), axis, at) for name in thing.__struct_fields__
        }
        return msgspec.structs.replace(thing, **changed)
    return thing
