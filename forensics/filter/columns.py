"""Fields as columns and as keys to sort by: what `-e` and `--sort` take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.checks.complaint import A_TYPE
from tensorshark.forensics.filter.codes import Coded, coded
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.ordering import places
from tensorshark.forensics.filter.syntax.macros import expand
from tensorshark.forensics.filter.values.arrays import present
from tensorshark.forensics.filter.values.batch import IndexBatch
from tensorshark.forensics.filter.values.operands import Numbers, Shown, Tier, Value, batches
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.traces.errors import FilterError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

Cancel = Callable[[], bool] | None
_MANY = 2000
"""Traces from which on it is cheaper to sort all of the index at once."""


class SortKey(msgspec.Struct, frozen=True):
    """A column that traces can be sorted by: at most one value per trace."""

    text: str
    value: Value

    def order(
        self,
        index: Index,
        numbers: Sequence[int] | Numbers,
        descending: bool = False,
        cancelled: Cancel = None,
        context: Context | None = None,
        limit: int | None = None,
    ) -> Numbers:
        """The numbers in order of their values; absent ones last either way, equal ones in capture order.

        With `limit` only the first so many.
        """
        return self._order(numbers, descending, Reader(index, cancelled, context), limit)[:limit]

    def _order(
        self,
        numbers: Sequence[int] | Numbers,
        descending: bool,
        reader: Reader,
        limit: int | None,
    ) -> Numbers:
        ascending = np.asarray(numbers, dtype=np.int64)
        if not (ascending[1:] > ascending[:-1]).all():
            ascending = np.sort(ascending)
        if len(ascending) > _MANY and (rows := self.value.ordered(reader, descending)) is not None:
            chosen = reader.marked(ascending)
            there = rows[chosen[rows - 1]]
            return np.concatenate([there, np.setdiff1d(ascending, there, assume_unique=True)])
        if self.value.type == "number":
            return _in_order(ascending, _cell_of_each(self.value, reader, ascending), descending, limit)
        keys = self.value.show(reader, ascending)
        absent = np.array([key is None for key in keys], dtype=bool)
        there = ascending[~absent]
        texts = [key for key in keys if key is not None]
        order = sorted(range(len(texts)), key=texts.__getitem__, reverse=descending)
        return np.concatenate([there[order], ascending[absent]])


def expression(text: str, macros: Mapping[str, str] = MappingProxyType({})) -> Value:
    """A field, with its selections, or a function of one, as `-e` and `--sort` take. Raises FilterError."""
    expanded = expand(text, macros)
    try:
        return _expression(expanded.text)
    except FilterError as error:
        raise expanded.error(error) from None


def _expression(text: str) -> Value:
    from tensorshark.forensics.filter.checks.complaint import Complaint
    from tensorshark.forensics.filter.checks.names import Names
    from tensorshark.forensics.filter.syntax.parser import parse as tree_of

    if not text.strip():
        raise FilterError("a field is missing", text)
    return Names(Complaint(text)).comparable(tree_of(text))


def values(
    text: str,
    index: Index,
    numbers: Sequence[int] | Numbers,
    cancelled: Cancel = None,
    context: Context | None = None,
) -> list[Shown]:
    """What a column of this field expression holds for these traces, in their order.

    None where a trace has no value; a list, nested by axis, where the expression leaves several.
    """
    ascending, which = np.unique(np.asarray(numbers, dtype=np.int64), return_inverse=True)
    value = expression(text, context.macros if context else {})
    shown = value.show(Reader(index, cancelled, context), ascending)
    return [shown[place] for place in which.tolist()]


def numbers(
    text: str,
    index: Index,
    of: Sequence[int] | Numbers,
    cancelled: Cancel = None,
    context: Context | None = None,
) -> NDArray[np.float64]:
    """The number of each trace (trace,) in the order of `of`; NaN where it has none. Truths are 0 and 1.

    Raises FilterError, also for text and for an expression with several values per trace.
    """
    value = sort_key(text, context.macros if context else {}).value
    if value.type not in ("number", "truth"):
        raise FilterError(f"this is {A_TYPE[value.type]}, not a number", text, 0, len(text))
    wanted, reader = np.asarray(of, dtype=np.int64), Reader(index, cancelled, context)
    if (wanted[1:] > wanted[:-1]).all():
        return _cell_of_each(value, reader, wanted)
    ascending, which = np.unique(wanted, return_inverse=True)
    return _cell_of_each(value, reader, ascending)[which]


def codes(
    text: str,
    index: Index,
    of: Sequence[int] | Numbers,
    cancelled: Cancel = None,
    context: Context | None = None,
) -> Coded:
    """Which of the different values each trace has (trace,), in the order of `of`; -1 where it has none."""
    value = sort_key(text, context.macros if context else {}).value
    return coded(value, Reader(index, cancelled, context), np.asarray(of, dtype=np.int64))


def sort_key(text: str, macros: Mapping[str, str] = MappingProxyType({})) -> SortKey:
    """What to sort by. Raises FilterError, also for an expression with several values per trace."""
    value = expression(text, macros)
    if not value.single:
        reason = "several values per trace cannot be sorted by; select one cell, or take max(…)"
        raise FilterError(reason, text, 0, len(text))
    return SortKey(text, value)


def _cell_of_each(value: Value, reader: Reader, ascending: Numbers) -> NDArray[np.float64]:
    """The one number of each of these traces (trace,), NaN where there is none."""
    keys = np.full(len(ascending), np.nan)
    tier = value.now(reader, ascending)
    everything = tier is not Tier.TRACE and len(ascending) == reader.count and not value.ragged
    for batch in reader.batches() if everything else batches(tier, reader, ascending, value.ragged):
        cells = value.cells(batch)
        if cells.dtype == object:
            cells = np.where(present(cells), cells, np.nan)
        if cells.size:
            if everything and isinstance(batch, IndexBatch):
                keys[batch.where] = cells.reshape(-1)  # a slice: numbers would be a copy of a million
            else:
                keys[np.searchsorted(ascending, batch.numbers)] = cells.reshape(-1)
    return keys


def _in_order(ascending: Numbers, keys: NDArray[np.float64], descending: bool, limit: int | None) -> Numbers:
    """`ascending` in order of their keys; absent ones last, equal ones as they are."""
    absent = np.isnan(keys)
    if not absent.any():
        return ascending[places(keys, descending, limit)]
    there = ascending[~absent]
    return np.concatenate([there[places(keys[~absent], descending, limit)], ascending[absent]])
