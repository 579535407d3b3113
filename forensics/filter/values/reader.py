"""How values are read for one question: the index, and the traces behind it, as they were when it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.values.relations import Bools
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index
    from tensorshark.traces.trace import Trace

T = TypeVar("T")

_CHUNK = 512
"""Traces per query by number, and between two looks at `cancelled`."""
_STRETCH = 16384
"""Traces per query where most are asked for."""
_WHOLE = 8
"""One trace in so many is asked for: then all rows are read, and the others dropped."""


class Cancelled(Exception):  # noqa: N818  not an error: somebody asked for it
    """Whoever asked does not want the answer any more."""


class Reader:
    """One use of the index. Traces that are committed meanwhile are not seen."""

    def __init__(self, index: Index, cancelled: Callable[[], bool] | None = None) -> None:
        self.index = index
        self.count = len(index)
        """Traces in the question: numbers 1 to `count`."""
        self._cancelled = cancelled
        self._open: tuple[int, Trace | None] = (0, None)

    def check(self) -> None:
        """Raise Cancelled if so. Called at least every few milliseconds of work."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled

    # SQL. Queries are put together from the table of fields and from relations; whatever a person typed is a
    # bound parameter.

    def mask(self, table: str, condition: str, parameters: Sequence[object]) -> Bools:
        """True (trace,) for the rows of a table that meet a condition."""
        # One text for all rows: a tuple for each of a million takes five times as long.
        query = f"SELECT group_concat(row) FROM {table} WHERE {condition}"
        listed = self.index.query(query, parameters)[0][0]
        return self.marked(np.fromstring(listed or "", dtype=np.int64, sep=","))

    def marked(self, numbers: Sequence[int] | NDArray[np.int64]) -> Bools:
        """True (trace,) for these numbers."""
        self.check()
        answer = np.zeros(self.count, dtype=bool)
        found = np.asarray(numbers, dtype=np.int64)
        answer[found[found <= self.count] - 1] = True
        return answer

    def rows(
        self, query: str, parameters: Sequence[object], numbers: NDArray[np.int64]
    ) -> Iterator[tuple[int, Any]]:
        """(row, value) of these traces, ascending, for a query that ends in a condition."""
        if len(numbers) * _WHOLE > self.count:
            wanted = self.marked(numbers)
            for start in range(1, self.count + 1, _STRETCH):
                self.check()
                among = f"{query} AND row BETWEEN ? AND ? ORDER BY row"
                found = self.index.query(among, [*parameters, start, start + _STRETCH - 1])
                yield from (row for row in found if row[0] <= self.count and wanted[row[0] - 1])
            return
        for start in range(0, len(numbers), _CHUNK):
            self.check()
            chunk = numbers[start : start + _CHUNK].tolist()
            among = f"{query} AND row IN ({','.join('?' * len(chunk))}) ORDER BY row"
            yield from self.index.query(among, [*parameters, *chunk])

    def texts(self, numbers: NDArray[np.int64], field: str) -> Iterator[tuple[int, str]]:
        """(number, whole prompt or text) of these traces."""
        if len(numbers) * _WHOLE > self.count:
            wanted = self.marked(numbers)
            for place, (number, text) in enumerate(self.index.texts(None, field)):
                if place % _CHUNK == 0:
                    self.check()
                if number <= self.count and wanted[number - 1]:
                    yield number, text
            return
        for start in range(0, len(numbers), _CHUNK):
            self.check()
            yield from self.index.texts(numbers[start : start + _CHUNK].tolist(), field)

    # Columns: the last token's values

    def blocks(self, field: str, layers: Pick) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(position of the first trace, values (layer, trace)) of the selected layers, NaN where absent."""
        column = self.index.column(field)
        plans = self._plans(layers, column.layer_count)
        chosen = sorted({layer for plan in plans.values() for layer in plan})
        if not chosen:
            yield 0, np.empty((0, self.count), np.float32)
            return
        lo, hi = chosen[0], chosen[-1] + 1
        for start, values in column.blocks(lo, hi):
            values = values[:, : self.count - start]
            if len(plans) > 1:
                depths = self._depths[start : start + values.shape[1]]
                yield start, self._by_depth(values, depths, plans, lo)
            elif len(chosen) == hi - lo:
                yield start, values
            else:
                yield start, values[np.array(chosen) - lo]

    def at(self, field: str, layers: Pick, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Values (trace, layer) of these traces; where depths differ, short rows end in NaN."""
        column = self.index.column(field)
        plans = self._plans(layers, column.layer_count)
        values = column.at(numbers)
        if len(plans) > 1:
            return self._by_depth(values, self._depths[numbers - 1], plans, 0).T
        (plan,) = plans.values()
        return values[plan].T

    def _plans(self, layers: Pick, stored: int) -> dict[int, list[int]]:
        """Depth of a model -> the layers selected there, of those that the index has."""
        if layers.fixed:
            return {0: layers.indices(stored)}
        depths = {record.layers for record in self.index.capture.models().values()} or {stored}
        return {depth: [layer for layer in layers.indices(depth) if layer < stored] for depth in depths}

    @cached_property
    def _depths(self) -> NDArray[np.int64]:
        """Layers of each trace's model (trace,)."""
        depths = {name: record.layers for name, record in self.index.capture.models().items()}
        found = np.zeros(self.count, dtype=np.int64)
        for row, model in self.index.query("SELECT row, model FROM traces WHERE row <= ?", (self.count,)):
            found[row - 1] = depths.get(model, 0)
        return found

    @staticmethod
    def _by_depth(
        values: NDArray[np.float32], depths: NDArray[np.int64], plans: dict[int, list[int]], lo: int
    ) -> NDArray[np.float32]:
        """(layer, trace) picked with the plan of each trace's model."""
        out = np.full((max(map(len, plans.values())), values.shape[1]), np.nan, np.float32)
        for depth, plan in plans.items():
            here = depths == depth
            if plan and here.any():
                out[: len(plan), here] = values[np.array(plan) - lo][:, here]
        return out

    # Traces

    def opened(self, number: int, read: Callable[[Trace], T]) -> T | None:
        """What `read` gives for a trace; None when the trace, or what is read of it, is damaged.

        The damage is not hidden: the index lists it as a finding, and showing the trace says it. The last
        trace stays open, so that several questions about it read its files once.
        """
        try:
            if self._open[0] != number:
                self._open = (number, None)
                self._open = (number, self.index.trace(number))
            trace = self._open[1]
            return None if trace is None else read(trace)
        except (IntegrityError, UntrustedError, NotFoundError):
            return None
