"""Measuring: the cells that a filter asks for and that nobody has measured yet.

Our own analyzers run here, trace by trace, guarded; those of others run in a worker process under its limits.
A failure on one trace makes its cells absent and is counted with its reason; it never ends the filter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import host
from tensorshark.forensics.analyzer import Analyzer, Cells
from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.measured import declared
from tensorshark.forensics.measured.columns import ABSENT, Array, Ids
from tensorshark.forensics.measured.declared import Declared
from tensorshark.forensics.measured.running import Asked, Failure, Values, values
from tensorshark.forensics.measured.store import Key, Store
from tensorshark.forensics.view import ViewTrace
from tensorshark.traces.errors import TensorsharkError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.selection import Pick
    from tensorshark.traces.index import Index

Numbers = NDArray[np.int64]
Check = Callable[[], None]
"""Called between traces; raises to stop."""

Found = tuple[int, Array | str]
"""A trace's id, and its cells or why there are none."""

_FLUSH_TRACES = 512
_FLUSH_S = 5.0
"""What was measured is kept at least so often, so that whoever stops loses little."""


class Problem(NamedTuple):
    """A reason for which traces have no value."""

    field: str
    reason: str
    traces: int
    first: int
    """Number of the first of them."""

    def words(self) -> str:
        """One line."""
        return f"{self.field} is absent in {self.traces:,} traces (first: #{self.first}): {self.reason}"


class Measures:
    """Measured fields of one open index."""

    _of: WeakKeyDictionary[Index, Measures] = WeakKeyDictionary()

    def __init__(self, index: Index) -> None:
        self.index = index
        self.store = Store(index.place)
        self._analyzers: dict[str, Analyzer] = {}
        self._generation: object = None
        self._ids: Ids = np.empty(0, np.uint64)

    @classmethod
    def of(cls, index: Index) -> Measures:
        """The one of this index."""
        found = cls._of.get(index)
        if found is None:
            found = cls._of[index] = cls(index)
        return found

    def cells(self, field: Declared, picks: Sequence[Pick], numbers: Numbers, check: Check) -> Array:
        """Cells (axis …, trace) of these traces, measured where they are not known yet.

        Numbers are float64 with NaN, texts and truths objects with None. What `check` raises comes through;
        what was measured until then is kept.
        """
        key, ids = self._key(field, picks), self._all_ids()
        column = self.store.column(key)
        unknown = numbers[column.places(ids)[numbers - 1] == ABSENT]
        if len(unknown):
            self._measure(field, picks, key, unknown, check)
            column = self.store.column(key)
        return column.cells(column.places(ids)[numbers - 1])

    def left(self, field: Declared, picks: Sequence[Pick]) -> int:
        """About how many traces have not been measured yet; costs nothing."""
        return max(0, len(self.index) - self.store.told(self._key(field, picks))[0])

    def failures(self, field: Declared, picks: Sequence[Pick]) -> dict[str, int]:
        """Reason -> about how many of the traces measured so far have no value for it; costs nothing."""
        return self.store.told(self._key(field, picks))[1]

    def problems(
        self, field: Declared, picks: Sequence[Pick], numbers: Numbers | None = None
    ) -> list[Problem]:
        """Why traces have no value, as far as they were measured."""
        column, ids = self.store.column(self._key(field, picks)), self._all_ids()
        chosen = np.arange(len(ids)) if numbers is None else numbers - 1
        found = column.failures(column.places(ids)[chosen])
        name = field.info.name
        return [Problem(name, why, count, int(chosen[at]) + 1) for why, (count, at) in found.items()]

    def _key(self, field: Declared, picks: Sequence[Pick]) -> Key:
        cells = " ".join(f"{pick.axis}{pick.parts!r}" for pick in picks)
        texts = field.info.type != "number"
        return Key(field.analyzer, field.digest, field.info.name, len(field.info.axes), texts, cells)

    def _all_ids(self) -> Ids:
        """Trace ids by position, as numbers."""
        if self._generation is not self.index.generation:
            self._generation, self._ids = self.index.generation, np.empty(0, np.uint64)
            self.store.forget_memory()  # what failed may have been restored
        known = len(self._ids)
        if len(self.index) > known:
            rows = self.index.query("SELECT row, id FROM traces WHERE row > ? ORDER BY row", (known,))
            more = np.zeros(rows[-1][0] - known if rows else 0, np.uint64)
            for row, trace_id in rows:
                more[row - known - 1] = int(trace_id, 16)
            self._ids = np.concatenate([self._ids, more])
        return self._ids

    def _measure(
        self, field: Declared, picks: Sequence[Pick], key: Key, numbers: Numbers, check: Check
    ) -> None:
        """Measure traces and keep what comes of it, by and by."""
        ids, began = self._all_ids(), time.monotonic()
        kept: dict[Key, list[Found]] = {key: []}
        passing: list[Found] = []
        try:
            for number, made in self._values(field, picks, numbers, check):
                trace = int(ids[number - 1])
                if isinstance(made, Failure):
                    (kept[key] if made.lasting else passing).append((trace, made.reason))
                else:
                    for name, cells in made.items():
                        other = declared.find(name)
                        if other is not None:
                            kept.setdefault(self._key(other, picks), []).append((trace, cells))
                if len(kept[key]) >= _FLUSH_TRACES or time.monotonic() - began > _FLUSH_S:
                    self._keep(kept)
                    began = time.monotonic()
        finally:
            self._keep(kept)
            self.store.remember(key, passing)

    def _keep(self, kept: dict[Key, list[Found]]) -> None:
        for key, found in kept.items():
            self.store.add(key, found)
            found.clear()

    def _values(
        self, field: Declared, picks: Sequence[Pick], numbers: Numbers, check: Check
    ) -> Iterator[tuple[int, Values]]:
        """Measured here, or in the worker where the analyzer is somebody else's."""
        asked = self._asked(picks, numbers, check)
        if not field.ours:
            from tensorshark.forensics.measured.apart import values_apart

            yield from values_apart(field, self.index.capture, asked, check)
            return
        try:
            analyzer = self._analyzers.setdefault(field.analyzer, host.load(field.analyzer)())
        except (Exception, SystemExit) as error:
            reason = Failure(host.said(error), False)
            yield from ((number, reason) for number in numbers.tolist())
            return
        yield from values(analyzer, field, asked)

    def _asked(self, picks: Sequence[Pick], numbers: Numbers, check: Check) -> Iterator[Asked]:
        """The traces, opened one at a time, with the cells that are selected in each."""
        for number in numbers.tolist():
            check()
            try:
                trace = ViewTrace.of(self.index.trace(number))
                yield Asked(number, trace, selected(trace, picks))
            except (TensorsharkError, OSError) as error:
                yield Asked(number, Failure(host.said(error), False), Cells())


def selected(trace: ViewTrace, picks: Sequence[Pick]) -> Cells:
    """Which layers, heads and positions of a trace the selections name."""
    sizes = {LAYER: trace.model.layers, HEAD: trace.model.heads, POS: len(trace.token_ids)}
    chosen = {pick.axis: pick.indices(sizes[pick.axis], trace.spans) for pick in picks}
    return Cells(chosen.get(LAYER, ()), chosen.get(HEAD, ()), chosen.get(POS, ()))
