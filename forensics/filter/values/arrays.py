"""Cells as arrays: (layer, head, pos, trace), of tensors with a last axis d_model.

An axis that a value does not have, or that was reduced, has size 1. Numbers are float32 as stored or float64
as computed, NaN where absent; anything else is in arrays of objects, None where absent. The axis of traces
may have size 1 as well: the same cells for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.relations import Bools, Relation

Array = NDArray[Any]
AXIS = {LAYER: 0, HEAD: 1, POS: 2}
"""Name of an axis -> its place in the array."""
OF_TRACES = 3
"""The place of the axis of traces."""


def objects(values: Sequence[Any]) -> Array:
    """Texts, or anything else but numbers, as an array of objects (value,)."""
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def present(cells: Array) -> Bools:
    """Which cells are there."""
    if cells.dtype == object:
        return np.asarray(cells != None, dtype=bool)  # noqa: E711  cell by cell
    return ~np.isnan(cells)


def satisfied(cells: Array, relation: Relation) -> Bools:
    """Which cells are there and satisfy the relation."""
    if cells.dtype == object:
        one = relation.one
        found = (value is not None and one(value) for value in cells.ravel())
        return np.fromiter(found, dtype=bool, count=cells.size).reshape(cells.shape)
    if relation.takes_nan:
        return relation.array(cells) & ~np.isnan(cells)
    return relation.array(cells)


def aligned(*arrays: Array) -> list[Array]:
    """The arrays, so that they can be broadcast: along an axis the nth cell of one meets the nth of another.

    One cell meets all of the other's. Where the numbers of cells differ otherwise, nothing meets: all are cut
    to no cells along that axis.
    """
    found = list(arrays)
    for axis in AXIS.values():
        if len({array.shape[axis] for array in found} - {1}) > 1:
            found = [array.take([], axis=axis) for array in found]
    return found


def unbroken(cells: Array, bound: Sequence[str]) -> Array:
    """The cells, with an absent one where there is none along the axis of a variable: what meets it is absent
    for each cell of the variable, and the variable keeps all its cells."""
    gone = [AXIS[axis] for axis in bound if cells.shape[AXIS[axis]] == 0]
    if not gone:
        return cells
    shape = [1 if place in gone else size for place, size in enumerate(cells.shape)]
    return np.full(shape, None if cells.dtype == object else np.nan, dtype=cells.dtype)


def quantified(found: Bools, there: Bools, quantifier: Quantifier, kept: Sequence[str] = ()) -> Bools:
    """Any, or all, of the cells that are there, over the axes that are not kept; `found` says which of them
    fit."""
    if quantifier == "any":
        cells = folded(found, kept)
        return np.asarray(cells[0] if len(cells) == 1 else cells.any(axis=0))
    there, found = folded(there, kept), folded(found, kept)
    return np.asarray(there.any(axis=0) & (found | ~there).all(axis=0))


def folded(cells: Array, kept: Sequence[str] = ()) -> Array:
    """All axes of cells that are not kept made one, in front: (cell, layer, head, pos, trace, …), with size 1
    for those that went."""
    shape = cells.shape
    gone = [place for axis, place in AXIS.items() if axis not in kept]
    stay = [1 if place in gone else shape[place] for place in range(OF_TRACES)]
    count = math.prod(shape[place] for place in gone)
    moved = np.moveaxis(cells, gone, range(len(gone))) if kept else cells
    return moved.reshape(count, *stay, *shape[OF_TRACES:])  # a view, of a million traces as of one


def nested(cells: Array, axes: Sequence[str], whole: bool) -> Any:
    """One trace's cells (layer, head, pos) as a column shows them: lists of lists along the axes that are
    open, None for an absent cell, and for all of them where none is there."""
    there = present(cells)
    if not there.any():
        return None
    plain = np.empty(cells.shape, dtype=object)
    plain[there] = cells[there].astype(np.int64) if whole else cells[there]
    plain[~there] = None
    closed = tuple(place for axis, place in AXIS.items() if axis not in axes)
    return plain.squeeze(axis=closed).tolist() if closed else plain.tolist()
