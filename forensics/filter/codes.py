"""Texts as small numbers: which of its different values each trace has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.values.operands import Cell, Numbers, Value
from tensorshark.forensics.filter.values.remembered import Remembered
from tensorshark.forensics.filter.values.stored import Label, Stored

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index

_KEPT = 16
"""Columns remembered per index: mostly 1 MB each at a million traces, at most 4."""


class Coded(NamedTuple):
    """A column with at most one value per trace."""

    codes: NDArray[np.signedinteger[Any]]
    """Place in `values` of each trace's value (trace,), of a small type; -1 where it has none."""
    values: list[Cell]
    """The different ones, ascending."""


_known: Remembered[Coded] = Remembered(_KEPT)


def forget(index: Index) -> None:
    """Forget all columns of an index: for tests and benches."""
    _known.forget(index)


def coded(value: Value, reader: Reader, numbers: Numbers) -> Coded:
    """The values of these traces, in their order."""
    if isinstance(value, Label | Stored):
        whole = column(value, reader)
        everything = len(numbers) == reader.count and bool(np.all(numbers[1:] > numbers[:-1]))
        return whole if everything else Coded(whole.codes[numbers - 1], whole.values)
    ascending, places = np.unique(numbers, return_inverse=True)
    shown: list[Any] = value.show(reader, ascending)
    found = sorted({each for each in shown if each is not None})
    place = {each: at for at, each in enumerate(found)}
    codes = np.fromiter((place.get(each, -1) for each in shown), np.int32, len(shown))
    return Coded(codes[places], found)


def column(value: Label | Stored, reader: Reader) -> Coded:
    """The values of all traces, in capture order; the last few columns are kept."""
    return _known.get(reader, value, lambda: _read(value, reader))


def _read(value: Label | Stored, reader: Reader) -> Coded:
    table, column, here, parameters = value.source()
    # One text per value: a tuple for each of a million traces takes five times as long.
    query = (
        f"SELECT {column}, group_concat(row) FROM {table} WHERE {here} GROUP BY {column} ORDER BY {column}"
    )
    codes = np.full(reader.count, -1, np.int32)
    values: list[Cell] = []
    for cell, listed in reader.index.query(query, parameters):
        reader.check()
        if cell is None:
            continue
        rows = np.fromstring(listed, dtype=np.int64, sep=",")
        codes[rows[rows <= reader.count] - 1] = len(values)
        values.append(bool(cell) if value.type == "truth" else cell)
    codes = codes.astype(np.min_scalar_type(-max(1, len(values))))
    codes.flags.writeable = False  # it is shared
    return Coded(codes, values)
