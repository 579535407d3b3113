"""How many traces of a capture have each field, counted from the index alone and remembered.

A million traces take some tens of milliseconds to count, which is too long for a key: while somebody types,
each key counts a little further, and says nothing of a field until it is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from tensorshark.traces.index.columns import BLOCK
from tensorshark.traces.sites import STAT_FIELDS

if TYPE_CHECKING:
    from tensorshark.forensics.filter.fields import FieldInfo
    from tensorshark.traces.index import Index

_QUERIES = {
    "label": "SELECT key, sum(count) FROM label_keys GROUP BY key ORDER BY key",
    "expert": "SELECT count(DISTINCT row) FROM experts",
}
_NEXT = "SELECT count(next_id) FROM traces"
_NEXT_FIELDS = ("next.token", "next.p")
"""Counted only when all is counted: it takes a look at every row."""


class Coverage:
    """Counts of one open index."""

    _of: WeakKeyDictionary[Index, Coverage] = WeakKeyDictionary()

    def __init__(self, index: Index) -> None:
        self._index = index
        self._state: tuple[object, ...] = ()
        self._count = 0
        self._labels: dict[str, int] = {}
        self._experts = 0
        self._whole: dict[str, dict[int, int]] = {}
        """Field -> block -> traces that have it, of blocks that are full and will not change."""
        self._counts: dict[str, int] = {}
        """Field -> traces that have it, where that has been counted to the end."""
        self._steps: Iterator[None] = iter(())

    @classmethod
    def of(cls, index: Index) -> Coverage:
        """That of this index."""
        found = cls._of.get(index)
        if found is None:
            found = cls._of[index] = cls(index)
        return found

    @property
    def traces(self) -> int:
        """In the index, when it was last looked at."""
        return self._count

    @property
    def labels(self) -> dict[str, int]:
        """Key -> how many traces carry it; keys sorted."""
        return self._labels

    def look(self, budget_s: float | None = 0.0) -> Coverage:
        """Take in what the index has gained, and count for about so long; None: to the end."""
        index = self._index
        count = len(index)
        state = (
            index.generation,
            tuple(sorted({record.layers for record in index.capture.models().values()})),
        )
        if state != self._state:
            self._whole.clear()
        if state != self._state or count != self._count:
            self._state, self._count = state, count
            self._labels = dict(index.query(_QUERIES["label"]))
            self._experts = int(index.query(_QUERIES["expert"])[0][0])
            self._counts.clear()
            self._steps = self._walk()
        deadline = None if budget_s is None else time.perf_counter() + budget_s
        for _ in self._steps:
            if deadline is not None and time.perf_counter() >= deadline:
                break
        if deadline is None and _NEXT_FIELDS[0] not in self._counts:
            self._counts |= dict.fromkeys(_NEXT_FIELDS, int(index.query(_NEXT)[0][0]))
        return self

    def count(self, info: FieldInfo) -> int | None:
        """Traces that have the field; None where the index does not know, or that is not counted yet."""
        if info.kind == "label":
            return self._labels.get(info.key, 0)
        if info.kind == "expert":
            return self._experts
        if info.always:
            return self._count
        return self._counts.get(info.name)

    def _walk(self) -> Iterator[None]:
        """Count, block by block; may be left at any step."""
        blocks = -(-self._count // BLOCK)
        for name in STAT_FIELDS:
            known = self._whole.setdefault(name, {})
            total = 0
            for block in range(blocks):
                found = known.get(block)
                if found is None:
                    found = self._block(name, block)
                    if (block + 1) * BLOCK <= self._count:
                        known[block] = found
                    yield
                total += found
            self._counts[name] = total

    def _block(self, name: str, block: int) -> int:
        """Traces of one block that have the field, at the last layer of their model or of the field."""
        first = block * BLOCK
        size = min(BLOCK, self._count - first)
        column = self._index.column(name)
        stored, depths = column.layer_count, self._state[1]
        assert isinstance(depths, tuple)
        layers = {stored - 1, *(depth - 1 for depth in depths)}
        there = np.zeros(size, dtype=bool)
        for layer in sorted(layer for layer in layers if 0 <= layer < stored):
            there |= ~np.isnan(column.block(block, layer, layer + 1)[0, :size])
        return int(there.sum())
