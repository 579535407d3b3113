"""A display filter as others use it: parse once, then say it, price it, answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.cells import Signal
from tensorshark.forensics.filter.operands import Shown, Tier, Value
from tensorshark.forensics.filter.predicates import Both, Comparison, Either, Predicate, answer
from tensorshark.forensics.filter.reader import Reader
from tensorshark.forensics.filter.relations import Order
from tensorshark.forensics.filter.stored import Label
from tensorshark.traces.errors import FilterError, TensorsharkError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index
    from tensorshark.traces.store import Capture

State = Literal["empty", "ok", "incomplete", "bad", "slow", "old"]
Numbers = NDArray[np.int64]
Cancel = Callable[[], bool] | None
"""Asked every few milliseconds of work; when it says True, `Cancelled` is raised."""

SLOW_SECONDS = 0.5
"""A filter that is expected to take longer is `slow`."""
_SECONDS_PER_TRACE = 0.8e-3
"""To open a trace and check its manifest, on the machine that this was measured on."""
_BYTES_PER_SECOND = 250e6
"""To read statistics and check their hash, there."""
_MANIFEST_BYTES = 8192
_MANY = 2000
"""Traces from which on it is cheaper to sort all of the index at once."""


class Cost(msgspec.Struct, frozen=True):
    """What answering a filter takes, at most."""

    index_only: bool
    """True when no trace has to be opened."""
    traces: int
    """Traces to open."""
    bytes: int
    """To read from them."""

    @property
    def seconds(self) -> float:
        """About how long that takes."""
        return self.traces * _SECONDS_PER_TRACE + self.bytes / _BYTES_PER_SECOND


class Filter(msgspec.Struct, frozen=True):
    """A filter that can be read. An empty one matches every trace."""

    text: str
    """As typed."""
    predicate: Predicate | None
    """What it asks; None when it is empty."""
    old: tuple[int, int, str] | None = None
    """Column, length and reason of the first thing that works and is not advised."""

    def __str__(self) -> str:
        return self.words()

    def words(self) -> str:
        """The filter as a sentence: `traces labelled injection whose prompt contains "x"`."""
        return "all traces" if self.predicate is None else f"traces {self.predicate.words()}"

    def select(self, index: Index, cancelled: Cancel = None) -> Numbers:
        """Numbers (from 1, ascending) of the traces that match. Raises Cancelled."""
        reader = Reader(index, cancelled)
        if self.predicate is None:
            return np.arange(1, reader.count + 1, dtype=np.int64)
        return np.flatnonzero(answer(self.predicate, reader)) + 1

    def cost(self, index: Index) -> Cost:
        """What `select` would take, at most; takes no look at the traces itself."""
        dear = [leaf for leaf in self._leaves() if leaf.tier is Tier.TRACE]
        if self.predicate is None or not dear:
            return Cost(True, 0, 0)
        traces = _at_most(self.predicate, index, len(index))
        reads_stats = any(isinstance(value, Signal) for leaf in dear for value in _inner(leaf.values))
        each = _MANIFEST_BYTES + (_stats_bytes(index) if reads_stats else 0)
        return Cost(False, traces, traces * each)

    def _leaves(self) -> list[Any]:
        return [] if self.predicate is None else list(self.predicate.leaves())


class Check(msgspec.Struct, frozen=True):
    """What to show beside a filter that is being typed."""

    state: State
    words: str = ""
    """The filter as a sentence, when it can be read."""
    reason: str = ""
    """What is wrong or worth knowing; empty when nothing is."""
    column: int = 0
    """Where that starts, 0-based."""
    length: int = 0
    """How many characters it covers; 0 when it is about the whole filter."""


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


def parse(text: str) -> Filter:
    """Read a filter; blank text is the empty filter. Raises FilterError, and nothing else."""
    if not text.strip():
        return Filter(text, None)
    from tensorshark.forensics.filter.checker import Checker
    from tensorshark.forensics.filter.parser import parse as tree_of

    checker = Checker(text)
    predicate = checker.predicate(tree_of(text))
    if checker.complaint.old is None:
        return Filter(text, predicate)
    place, reason = checker.complaint.old
    return Filter(text, predicate, (place.start, place.stop - place.start, reason))


def check(text: str, index: Index | None = None) -> Check:
    """The state of a filter that is being typed; with an index also what it will cost. Raises nothing."""
    if not text.strip():
        return Check("empty", "all traces")
    try:
        filter = parse(text)
    except FilterError as error:
        state: State = "incomplete" if error.incomplete else "bad"
        return Check(state, reason=error.reason, column=error.column, length=error.length)
    if filter.old:
        column, length, reason = filter.old
        return Check("old", filter.words(), reason, column, length)
    if index is None:
        return Check("ok", filter.words())
    cost = filter.cost(index)
    if cost.seconds > SLOW_SECONDS:
        reason = f"opens {cost.traces:,} traces, reads {_size(cost.bytes)}, about {cost.seconds:.0f} s"
        return Check("slow", filter.words(), reason)
    return Check("ok", filter.words(), _hint(filter, index))


def select(capture: Capture, text: str) -> Iterator[str]:
    """Ids of the traces that match, in capture order: the entry point behind `Capture.select`."""
    from tensorshark.traces.index import Index

    filter = parse(text)
    with Index.open(capture) as index:
        ids = dict(index.query("SELECT row, id FROM traces"))
        found = [ids[number] for number in filter.select(index).tolist()]
    return iter(found)


def expression(text: str) -> Value:
    """A field, with its selections, or a function of one, as `-e` and `--sort` take. Raises FilterError."""
    from tensorshark.forensics.filter.complaint import Complaint
    from tensorshark.forensics.filter.names import Names
    from tensorshark.forensics.filter.parser import parse as tree_of

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


def _inner(values: Sequence[Value]) -> Iterator[Value]:
    """The values and those that functions are applied to."""
    for value in values:
        yield value
        inner = getattr(value, "inner", None)
        if isinstance(inner, Value):
            yield from _inner((inner,))


def _at_most(predicate: Predicate, index: Index, count: int) -> int:
    """How many traces can possibly be in question: label counts are known without looking."""
    if isinstance(predicate, Both):
        return min(_at_most(part, index, count) for part in predicate.parts)
    if isinstance(predicate, Either):
        return min(count, sum(_at_most(part, index, count) for part in predicate.parts))
    counted = _label_count(predicate, index)
    return count if counted is None else counted


def _label_count(predicate: Predicate, index: Index) -> int | None:
    """How many traces carry the label that is asked for; None for any other question."""
    if not isinstance(predicate, Comparison) or not isinstance(predicate.value, Label):
        return None
    if not isinstance(predicate.relation, Order) or predicate.relation.operator != "==":
        return None
    asked = (predicate.value.field.key, predicate.relation.constant)
    found = index.query("SELECT count FROM label_keys WHERE key = ? AND value = ?", asked)
    return int(found[0][0]) if found else 0


def _hint(filter: Filter, index: Index) -> str:
    """What a person probably did not mean: a label that no trace has, a field that was not captured."""
    for leaf in filter._leaves():
        for value in _inner(leaf.values):
            if isinstance(value, Label):
                key = "SELECT 1 FROM label_keys WHERE key = ? LIMIT 1"
                if not index.query(key, (value.field.key,)):
                    return f"no trace here has {value.field.name}"
                if _label_count(leaf, index) == 0:
                    return f"no trace here has this value of {value.field.name}"
            elif isinstance(value, Signal):
                stored = index.column(value.field.name).layer_count
                layers = value.picks[0]
                if stored == 0:
                    return f"no trace here has {value.field.name}"
                if layers.fixed and not layers.indices(stored):
                    return f"{value.field.name} has layers 0 to {stored - 1} here"
    return ""


_stats_sizes: dict[str, int] = {}


def _stats_bytes(index: Index) -> int:
    """Size of a trace's statistics, by the first trace of the capture that can be read."""
    uuid = index.capture.uuid
    if uuid not in _stats_sizes:
        for number in range(1, min(len(index), 8) + 1):
            try:
                files = index.capture.trace(index.id_of(number)).manifest.files
            except TensorsharkError:
                continue
            _stats_sizes[uuid] = sum(file.size for file in files if file.name.startswith("stats"))
            break
    return _stats_sizes.get(uuid, 0)


def _size(count: int) -> str:
    """`38 GB`, `1.5 MB`."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"
