"""How values are read for one question: the index, and the traces behind it, as they were when it began."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import DAMAGE, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import AHEAD
from tensorshark.forensics.filter.values.relations import Bools, regex
from tensorshark.forensics.filter.values.searching import search, searchable
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.traces.index.columns import BLOCK

if TYPE_CHECKING:
    from tensorshark.traces.index import Index
    from tensorshark.traces.index.columns import Column

T = TypeVar("T")

_CHUNK = 512
"""Traces per query by number, and between two looks at `cancelled`."""
_STRETCH = 16384
"""Traces per query where most are asked for."""
_WHOLE = 8
"""One trace in so many is asked for: then all rows are read, and the others dropped."""
_LARGE = 100_000
"""Traces from which on rows are counted before they are listed."""
_MANY = 2000
"""Traces from which on it is cheaper to read a label, say, for all traces at once."""


class Cancelled(Exception):  # noqa: N818  not an error: somebody asked for it
    """Whoever asked does not want the answer any more."""


class Reader:
    """One use of the index. Traces that are committed meanwhile are not seen."""

    def __init__(
        self, index: Index, cancelled: Callable[[], bool] | None = None, context: Context | None = None
    ) -> None:
        self.index = index
        self.context = context or Context()
        self.count = len(index)
        """Traces in the question: numbers 1 to `count`."""
        self._cancelled = cancelled
        self.unread: set[int] = set()
        """Numbers of the traces that could not be read."""
        self.closing: list[Callable[[], None]] = []
        """Called by `finish`."""
        self._open: OrderedDict[int, TraceBatch] = OrderedDict()
        self._known: dict[Any, Any] = {}
        self._columns: dict[str, Column] = {}
        self._plans: dict[tuple[Pick, int], list[int]] = {}

    def check(self) -> None:
        """Raise Cancelled if so. Called at least every few milliseconds of work."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled

    def finish(self) -> None:
        """Keep what was read of traces for later questions; done when an answer is whole, or cancelled."""
        for close in self.closing:
            close()

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made once for each key while this question is answered."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    # SQL. Queries are put together from the table of fields and from relations; whatever a person typed is a
    # bound parameter.

    def mask(self, table: str, condition: str, parameters: Sequence[object]) -> Bools:
        """True (trace,) for the rows of a table that meet a condition."""
        if self.count >= _LARGE:
            # Counting takes a third of listing, and often says it all: nothing matches, or everything.
            found = self.index.query(f"SELECT count(*) FROM {table} WHERE {condition}", parameters)[0][0]
            if found == 0 or (found == self.count == len(self.index) and table == "traces"):
                return np.full(self.count, found > 0)
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
        if self._dense(numbers):
            wanted, last = self.marked(numbers), int(numbers[-1])
            for start in range(int(numbers[0]), last + 1, _STRETCH):
                self.check()
                among = f"{query} AND row BETWEEN ? AND ? ORDER BY row"
                found = self.index.query(among, [*parameters, start, min(last, start + _STRETCH - 1)])
                yield from (row for row in found if wanted[row[0] - 1])
            return
        for start in range(0, len(numbers), _CHUNK):
            self.check()
            chunk = numbers[start : start + _CHUNK].tolist()
            among = f"{query} AND row IN ({','.join('?' * len(chunk))}) ORDER BY row"
            yield from self.index.query(among, [*parameters, *chunk])

    def texts(self, numbers: NDArray[np.int64], field: str) -> Iterator[tuple[int, str]]:
        """(number, whole prompt or text) of these traces."""
        if self._dense(numbers):
            wanted, last = self.marked(numbers), int(numbers[-1])
            for start in range(int(numbers[0]), last + 1, _CHUNK):
                self.check()
                page = range(start, min(last, start + _CHUNK - 1) + 1)
                yield from (found for found in self.index.texts(page, field) if wanted[found[0] - 1])
            return
        for start in range(0, len(numbers), _CHUNK):
            self.check()
            yield from self.index.texts(numbers[start : start + _CHUNK].tolist(), field)

    def holding(self, part: str, field: str, exact: bool = True) -> Bools:
        """True (trace,) for the traces whose prompt or text holds `part`; without `exact` also for those that
        may hold it in other capitals. Looked up once."""

        def look() -> Bools:
            self.check()
            return self.marked(self.index.containing(part, field, exact))

        return self.once(("holding", part, field, exact), look)

    def matching(self, pattern: str, field: str, numbers: NDArray[np.int64]) -> list[int]:
        """Those of `numbers` in whose prompt or text RE2 finds the pattern."""
        if self._dense(numbers) and searchable(pattern):
            wanted = self.marked(numbers)
            found = search(self.index, pattern, field, int(numbers[0]), int(numbers[-1]), self.check)
            return [number for number in found if wanted[number - 1]]
        one = regex(pattern).search
        return [number for number, text in self.texts(numbers, field) if one(text) is not None]

    @staticmethod
    def _dense(numbers: NDArray[np.int64]) -> bool:
        """True when reading everything between the first and the last costs less than asking for each."""
        return len(numbers) > 0 and len(numbers) * _WHOLE > numbers[-1] - numbers[0]

    def rows_of(
        self, query: str, parameters: Sequence[object], numbers: NDArray[np.int64]
    ) -> list[tuple[Any, ...]]:
        """(row, …) of the traces of a batch, ascending, for a query that ends in a condition."""
        self.check()
        if len(numbers) == 0:
            return []
        first, last = int(numbers[0]), int(numbers[-1])
        if last - first < len(numbers) * _WHOLE:
            between = f"{query} AND row BETWEEN ? AND ? ORDER BY row"
            found = self.index.query(between, [*parameters, first, last])
            if last - first + 1 == len(numbers):
                return found
            wanted = set(numbers.tolist())
            return [row for row in found if row[0] in wanted]
        found = []
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK].tolist()
            among = f"{query} AND row IN ({','.join('?' * len(chunk))}) ORDER BY row"
            found += self.index.query(among, [*parameters, *chunk])
        return found

    # Columns: the last token's values

    def batches(self, numbers: NDArray[np.int64] | None = None) -> Iterator[IndexBatch]:
        """These traces, ascending, or all: as many at a time as are looked at together."""
        if numbers is None:
            for start in range(0, self.count, BLOCK):
                self.check()
                yield from self._split(slice(start, min(self.count, start + BLOCK)), self.count > _MANY)
            return
        positions = np.asarray(numbers, dtype=np.int64) - 1
        cuts = np.arange(BLOCK, len(positions), BLOCK)
        if len(positions) * _WHOLE > self.count:  # along the blocks of the columns, which can be looked into
            cuts = np.flatnonzero(np.diff(positions // BLOCK)) + 1
        for part in np.split(positions, cuts):
            self.check()
            in_a_row = bool(len(part)) and part[-1] - part[0] + 1 == len(part)
            in_a_row = in_a_row and part[-1] // BLOCK == part[0] // BLOCK
            where = slice(int(part[0]), int(part[-1]) + 1) if in_a_row else part
            yield from self._split(where, len(positions) > _MANY)

    def _split(self, where: slice | NDArray[np.int64], wide: bool) -> Iterator[IndexBatch]:
        """By the depth of the traces' models."""
        if len(self.depths) == 1:
            if isinstance(where, slice) or len(where):
                yield IndexBatch(self, where, self.depths[0], wide)
            return
        here = self._depth_of[where]
        positions = np.arange(where.start, where.stop) if isinstance(where, slice) else where
        for depth in np.unique(here).tolist():
            yield IndexBatch(self, positions[here == depth], depth, wide)

    def column(self, field: str) -> Column:
        """The last token's values of a field, of at least the traces in the question."""
        column = self._columns.get(field)
        if column is None:
            column = self._columns[field] = self.index.column(field)
        return column

    def stored(self, field: str, where: slice | NDArray[np.int64], lo: int, hi: int) -> Array:
        """The last token's values (layer, trace) of layers lo to hi - 1, NaN where there is none."""
        column = self.column(field)
        if isinstance(where, slice):
            block, start = divmod(where.start, BLOCK)
            return column.block(block, lo, hi)[:, start : start + where.stop - where.start]
        block = int(where[0]) // BLOCK
        if block == int(where[-1]) // BLOCK:
            return column.block(block, lo, hi)[:, where - block * BLOCK]
        found = column.at(where + 1)[lo:hi]
        short = np.full((hi - lo - len(found), len(where)), np.nan, np.float32)
        return np.concatenate([found, short]) if len(short) else found

    def plan(self, layers: Pick, depth: int) -> list[int]:
        """The layers that are selected in a model of this depth."""
        key = (layers, depth)
        if key not in self._plans:
            self._plans[key] = layers.indices(depth)
        return self._plans[key]

    @cached_property
    def depths(self) -> list[int]:
        """Layers of the models of this capture, each once; 0 is the model of a damaged trace, where several
        models make that a difference."""
        found = {record.layers for record in self.index.capture.models().values()}
        if not found:  # an index without traces behind it
            found = {self.index.query("SELECT coalesce(max(layers), 0) FROM blocks")[0][0]}
        return sorted(found) if len(found) == 1 else sorted(found | {0})

    @cached_property
    def _depth_of(self) -> NDArray[np.int64]:
        """Layers of each trace's model (trace,)."""
        found = np.zeros(self.count, dtype=np.int64)
        for name, record in self.index.capture.models().items():
            found[self.mask("traces", "model = ?", [name])] = record.layers
        return found

    # Traces

    def opened(self, number: int) -> TraceBatch:
        """A trace, opened. When it, or what is read of it, is damaged, the batch has nothing of it.

        The damage is not hidden: the index lists it as a finding, and showing the trace says it. The last
        few traces stay open, so that several questions about them read their files once.
        """
        if number not in self._open:
            while len(self._open) >= AHEAD:
                self._open.popitem(last=False)
            try:
                trace = self.index.trace(number)
            except DAMAGE:
                trace = None
            row = next(self._split(slice(number - 1, number), False))
            batch = self._open[number] = TraceBatch(trace, self.context, row)
            if batch.trace is None:
                self.unread.add(number)
        return self._open[number]
