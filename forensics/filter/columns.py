"""Fields as columns and as keys to sort by: what `-e` and `--sort` take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.codes import Coded, coded
from tensorshark.forensics.filter.values.operands import Numbers, Shown, Value
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.stored import Stored
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
    ) -> Numbers:
        """The numbers in order of their values; absent ones last either way, equal ones in capture order."""
        ascending = np.sort(np.asarray(numbers, dtype=np.int64))
        reader = Reader(index, cancelled)
        if len(ascending) > _MANY and (blocks := self.value.blocks(reader)) is not None:
            return _in_order(ascending, _cell_of_each(blocks, reader.count), descending)
        if len(ascending) > _MANY and (rows := self.value.ordered(reader, descending)) is not None:
            chosen = reader.marked(ascending)
            there = rows[chosen[rows - 1]]
            return np.concatenate([there, np.setdiff1d(ascending, there, assume_unique=True)])
        keys = self.value.show(reader, ascending)
        absent = np.array([key is None for key in keys], dtype=bool)
        there = ascending[~absent]
        present = [key for key in keys if key is not None]
        places = sorted(range(len(present)), key=present.__getitem__, reverse=descending)
        return np.concatenate([there[places], ascending[absent]])


def expression(text: str) -> Value:
    """A field, with its selections, or a function of one, as `-e` and `--sort` take. Raises FilterError."""
    from tensorshark.forensics.filter.checks.complaint import Complaint
    from tensorshark.forensics.filter.checks.names import Names
    from tensorshark.forensics.filter.syntax.parser import parse as tree_of

    if not text.strip():
        raise FilterError("a field is missing", text)
    return Names(Complaint(text)).comparable(tree_of(text))


def values(
    text: str, index: Index, numbers: Sequence[int] | Numbers, cancelled: Cancel = None
) -> list[Shown]:
    """What a column of this field expression holds for these traces, in their order.

    None where a trace has no value; a list, nested by axis, where the expression leaves several.
    """
    wanted = np.asarray(numbers, dtype=np.int64)
    ascending = np.unique(wanted)
    shown = _shown(expression(text), index, ascending, cancelled)
    return [shown[place] for place in np.searchsorted(ascending, wanted).tolist()]


def numbers(
    text: str, index: Index, of: Sequence[int] | Numbers, cancelled: Cancel = None
) -> NDArray[np.float64]:
    """The number of each trace (trace,) in the order of `of`; NaN where it has none. Truths are 0 and 1."""
    wanted = np.asarray(of, dtype=np.int64)
    value = sort_key(text).value
    reader = Reader(index, cancelled)
    if len(wanted) > _MANY and (blocks := value.blocks(reader)) is not None:
        return _cell_of_each(blocks, reader.count)[wanted - 1]
    if isinstance(value, Stored) and len(wanted) > _MANY:
        found = coded(value, reader, wanted)
        return np.array([*found.values, np.nan], dtype=np.float64)[found.codes]
    shown = values(text, index, wanted, cancelled)
    return np.array([np.nan if each is None else each for each in shown], dtype=np.float64)


def codes(text: str, index: Index, of: Sequence[int] | Numbers, cancelled: Cancel = None) -> Coded:
    """Which of the different values each trace has (trace,), in the order of `of`; -1 where it has none."""
    return coded(sort_key(text).value, Reader(index, cancelled), np.asarray(of, dtype=np.int64))


def sort_key(text: str) -> SortKey:
    """What to sort by. Raises FilterError, also for an expression with several values per trace."""
    value = expression(text)
    if not value.single:
        reason = "several values per trace cannot be sorted by; select one cell, or take max(…)"
        raise FilterError(reason, text, 0, len(text))
    return SortKey(text, value)


def _shown(value: Value, index: Index, ascending: Numbers, cancelled: Cancel) -> list[Shown]:
    return value.show(Reader(index, cancelled), ascending)


def _cell_of_each(blocks: Iterator[tuple[int, NDArray[Any]]], count: int) -> NDArray[np.float64]:
    """The one cell of each trace (trace,), NaN where there is none."""
    cells = np.full(count, np.nan)
    for start, values in blocks:  # (cell, trace), of which there is one at most
        cells[start : start + values.shape[1]] = values[0] if len(values) else np.nan
    return cells


def _in_order(ascending: Numbers, cells: NDArray[np.float64], descending: bool) -> Numbers:
    """`ascending` in order of their cells; absent ones last, equal ones as they are."""
    keys = cells[ascending - 1]
    absent = np.isnan(keys)
    there, keys = ascending[~absent], keys[~absent]
    places = np.argsort(-keys if descending else keys, kind="stable")
    return np.concatenate([there[places], ascending[absent]])
