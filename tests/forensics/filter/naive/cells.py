"""Cells of a value in one trace: axes (layer, head, pos), absent or there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.forensics.filter.naive.facts import Facts, World

LAYER, HEAD, POS = AXES = (0, 1, 2)
"""Their places in an array of cells."""


@dataclass(frozen=True)
class Cells:
    """The cells of a value in one trace."""

    array: NDArray[Any]
    """(layer, head, pos), for tensors (layer, head, pos, d_model): float64 with NaN, or objects with None,
    where absent; size 1 along an axis that the value does not have."""
    places: tuple[list[int] | None, ...] = (None, None, None)
    """Per axis: which layers, heads or positions these are; None: it does not have the axis."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which cells are present (layer, head, pos)."""
        if self.array.dtype == object:
            return np.array([x is not None for x in self.array.ravel()], bool).reshape(self.array.shape)
        present = ~np.isnan(self.array)
        return present.all(axis=-1) if present.ndim == 4 else present

    def present(self) -> list[Any]:
        """The cells that are there, in order."""
        found: list[Any] = self.array[self.there].tolist()
        return found


@dataclass(frozen=True)
class Scene:
    """Where a value is asked for."""

    facts: Facts
    world: World
    bound: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Variable of any(l, p: …) -> layer, head or position."""


def one(value: Any) -> Cells:
    """A value without axes; None: absent."""
    if value is None or isinstance(value, str):
        array = np.empty((1, 1, 1), object)
        array[0, 0, 0] = value
        return Cells(array)
    return Cells(np.full((1, 1, 1), float(value)))


def several(values: list[Any]) -> Cells:
    """Values that have no axis between them."""
    array = np.empty((1, 1, len(values)), object)
    array[0, 0, :] = values
    return Cells(array)


def paired(ours: Cells, theirs: Cells) -> tuple[NDArray[Any], NDArray[Any], tuple[list[int] | None, ...]]:
    """Both sides' cells, nth beside nth; a side with one cell along an axis is repeated.

    Where the numbers of cells differ there are none.
    """
    left, right = ours.array, theirs.array
    places = []
    for axis in AXES:
        a, b = left.shape[axis], right.shape[axis]
        if a != b and 1 not in (a, b):
            left, right = left.take([], axis=axis), right.take([], axis=axis)
        elif a != b and a == 1:
            left = left.repeat(b, axis=axis)
        elif a != b:
            right = right.repeat(a, axis=axis)
        mine, its = ours.places[axis], theirs.places[axis]
        places.append(its if mine is None or (its is not None and a == 1 and b != 1) else mine)
    if left.ndim != right.ndim:
        left, right = (array if array.ndim == 4 else array[..., None] for array in (left, right))
    return left, right, tuple(places)
