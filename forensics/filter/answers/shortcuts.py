"""Labels at a million traces, without listing a million rows: by counts, or by codes in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from tensorshark.forensics.filter.answers.predicates import Comparison, Leaf
from tensorshark.forensics.filter.values.operands import Value
from tensorshark.forensics.filter.values.relations import Bools, Order, Present
from tensorshark.forensics.filter.values.stored import Label, Stored

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index

LARGE = 50_000
"""Traces from which on this is faster than SQL."""
_FEW_VALUES = 4096
"""Different values that a column of codes may have: each is asked once."""
_CODED = frozenset(("model", "seq_len"))
"""Columns of the table of traces that are read as codes: few different values, and an index over them."""

_asked: WeakKeyDictionary[Index, set[Value]] = WeakKeyDictionary()
"""What was asked about before. The second question is worth reading a column for, not the first."""


def shortcut(leaf: Leaf, reader: Reader) -> Bools | None:
    """For which traces (trace,) it is true; None where SQL has to say it."""
    if reader.count < LARGE or not isinstance(leaf, Comparison):
        return None
    value = leaf.value
    if isinstance(value, Label):
        found = _by_count(leaf, value, reader)
        if found is not None:
            return found
    elif not isinstance(value, Stored) or value.field.key not in _CODED:
        return None
    before = _asked.setdefault(reader.index, set())
    if value in before:
        return _by_codes(leaf, value, reader)
    before.add(value)
    return None


def _by_count(leaf: Comparison, label: Label, reader: Reader) -> Bools | None:
    """Where no trace has the label, or every trace has: the index counts them."""
    query, asked = "SELECT coalesce(sum(count), 0) FROM label_keys WHERE key = ?", [label.field.key]
    if isinstance(leaf.relation, Order) and leaf.relation.operator == "==":
        query, asked = f"{query} AND value = ?", [*asked, str(leaf.relation.constant)]
    elif type(leaf.relation) is not Present:
        return None
    count = reader.index.query(query, asked)[0][0]
    if count == 0 or count == reader.count == len(reader.index):
        return np.full(reader.count, count > 0)
    return None


def _by_codes(leaf: Comparison, value: Label | Stored, reader: Reader) -> Bools | None:
    """Each different value is asked once; what fits is found among the codes of all traces."""
    from tensorshark.forensics.filter.codes import column

    codes, values = column(value, reader)
    if len(values) > _FEW_VALUES:
        return None
    fits = np.array([*(leaf.relation.one(each) for each in values), False])  # -1, the last: no value
    fitting = np.flatnonzero(fits)
    if len(fitting) == 0:
        return np.zeros(reader.count, dtype=bool)
    if len(fitting) == 1:
        return np.asarray(codes == codes.dtype.type(fitting[0]))  # of one type: nothing is converted
    return np.asarray(fits[codes])
