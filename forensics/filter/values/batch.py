"""What values are read from: a stretch of the index, or one opened trace.

A batch remembers what each value was, so what stands twice in a filter is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.forensics.filter.values.selection import Pick
    from tensorshark.traces.manifest import ModelRecord, StoredSite, TraceManifest

T = TypeVar("T")

DAMAGE = (IntegrityError, UntrustedError, NotFoundError)
"""What reading a trace raises when it is not as it was committed."""


class TraceLike(Protocol):
    """What a filter reads of a trace: `traces.trace.Trace`, or one that is in memory only."""

    @property
    def manifest(self) -> TraceManifest: ...
    @property
    def model(self) -> ModelRecord: ...
    @property
    def spans(self) -> Mapping[str, slice]: ...
    @property
    def sites(self) -> Mapping[str, StoredSite]: ...
    @property
    def stats(self) -> Mapping[str, Array]: ...
    def stat_layers(self, key: str) -> Sequence[int]: ...
    def load(self, name: str) -> Array: ...


class Batch:
    """Some traces, whose models have the same number of layers."""

    context: Context
    count: int
    """Traces."""
    layers: int
    """Of the traces' model."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the traces, ascending; 0 for one that is in no index."""
        raise NotImplementedError

    def indices(self, pick: Pick) -> Sequence[int]:
        """Which layers are selected; of an opened trace, also heads and positions."""
        raise NotImplementedError

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made once for each key."""
        try:
            found: T = self._known[key]
        except KeyError:
            found = self._known[key] = make()
        return found


class IndexBatch(Batch):
    """A stretch of the index, or some traces of it."""

    def __init__(
        self, reader: Reader, where: slice | NDArray[np.int64], layers: int, wide: bool = False
    ) -> None:
        super().__init__()
        self.reader = reader
        self.context = reader.context
        self.where = where
        """Positions, from 0: a slice within one block of the columns where the traces stand in a row."""
        self.count = where.stop - where.start if isinstance(where, slice) else len(where)
        self.layers = layers
        self.wide = wide
        """True when so many traces are asked about, with other batches, that it pays to read for all."""
        self.variable: Sequence[int] | None = None
        """The layers that a variable runs over, where not all of them have to be looked at."""

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        where = self.where
        return np.arange(where.start + 1, where.stop + 1) if isinstance(where, slice) else where + 1

    def column(self, field: str, layers: Pick) -> Array:
        """The last token's values (layer, trace) of the selected layers, NaN where there is none."""
        plan = self.indices(layers)
        if not plan:
            return np.empty((0, self.count), np.float32)
        values = self.reader.stored(field, self.where, plan[0], plan[-1] + 1)
        chosen: Array = values if len(plan) == len(values) else values[np.array(plan) - plan[0]]
        return chosen

    def indices(self, pick: Pick) -> Sequence[int]:
        assert pick.axis == LAYER, "what a trace has of heads and tokens is known when it is opened"
        if pick.variable and self.variable is not None:
            return self.variable
        return self.reader.plan(pick, self.layers)

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """(row, …) of these traces, ascending, for a query that ends in a condition."""
        return self.reader.rows_of(query, parameters, self.numbers)

    def spread(self, found: Sequence[tuple[int, Any]], nothing: Any = None) -> list[Any]:
        """The values of (row, value), one per trace of the batch; `nothing` for those that have none."""
        if len(found) == self.count:
            return [value for _, value in found]
        known = dict(found)
        return [known.get(number, nothing) for number in self.numbers.tolist()]


class TraceBatch(Batch):
    """One opened trace. A damaged one has no cells, but what the index says of it."""

    def __init__(self, trace: TraceLike | None, context: Context, row: IndexBatch | None = None) -> None:
        super().__init__()
        self.context = context
        self.row = row
        """The same trace in the index; None for one that is in no index."""
        self.count = 1
        self.trace = trace
        self.sizes = {LAYER: 0, HEAD: 0, POS: 0}
        """Axis -> how many there are: those of the model, and tokens."""
        try:
            if trace is not None:
                model, tokens = trace.model, len(trace.manifest.token_ids)
                self.sizes = {LAYER: model.layers, HEAD: model.heads, POS: tokens}
        except DAMAGE:
            self.trace = None
        self.layers = self.sizes[LAYER]

    @property
    def numbers(self) -> NDArray[np.int64]:
        return np.zeros(1, np.int64) if self.row is None else self.row.numbers

    @property
    def manifest(self) -> TraceManifest | None:
        """None when the trace is damaged."""
        return None if self.trace is None else self.trace.manifest

    def indices(self, pick: Pick) -> list[int]:
        """Which layers, heads or positions of this trace are selected."""
        spans = self.trace.spans if self.trace is not None and pick.spans else None
        return pick.indices(self.sizes[pick.axis], spans)

    def stat(self, key: str) -> tuple[Array, list[int]] | None:
        """A statistic (layer, head, pos), with size 1 for heads where it has none, and its layers."""
        if self.trace is None or (stats := self._stats) is None or key not in stats:
            return None
        array, layers = stats[key], list(self.trace.stat_layers(key))
        if array.ndim == 2:
            array = array[:, None, :]
        heads, tokens = self.sizes[HEAD], self.sizes[POS]
        if array.shape not in ((len(layers), 1, tokens), (len(layers), heads, tokens)):
            return None  # not what its manifest says: as absent as what does not pass its hash
        return array, layers

    @cached_property
    def _stats(self) -> Mapping[str, Array] | None:
        try:
            return None if self.trace is None else self.trace.stats
        except DAMAGE:
            return None

    def tensor(self, name: str) -> Array | None:
        """A tensor as it is stored; None when it is not there or damaged."""
        try:
            return None if self.trace is None else self.trace.load(name)
        except DAMAGE:
            return None
