"""What a value is beside those of all other traces: `zscore(f)`, `rank(f)` and `f > 3sigma`.

All traces are read once for the mean and the spread, or for the order, and once more to be compared. The
former is remembered while the capture has the same traces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.ordering import places
from tensorshark.forensics.filter.values.ahead import Ahead
from tensorshark.forensics.filter.values.arrays import OF_TRACES, Array, present
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.derived import OfOne
from tensorshark.forensics.filter.values.measured import Measured
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value, batches
from tensorshark.forensics.filter.values.remembered import Remembered
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.answers.predicates import Predicate
    from tensorshark.forensics.filter.values.reader import Reader

_KEPT = 4
"""Of each kind, per index: ranks of a million traces are 8 MB."""


class Moments(NamedTuple):
    """Of each cell (layer, head, pos), in the order of selection, over all traces that have it."""

    mean: Array
    std: Array
    """Of these traces as a whole, not an estimate: the divisor is their number."""


_FEW = 16
"""Traces that are measured between two looks at how far it is: some or many milliseconds each."""

_moments: Remembered[Moments] = Remembered(_KEPT)
_ranks: Remembered[Array] = Remembered(_KEPT)


class _Corpus(OfOne, frozen=True):
    """A number that other traces have a say in."""

    depends: ClassVar[frozenset[str]] = frozenset({"capture"})

    @property
    def type(self) -> Type:
        return "number"

    def numbers(self, batch: Batch) -> Array:
        """The cells of `inner` as float64, NaN where absent."""
        cells = self.inner.cells(batch)
        if cells.dtype == object:
            cells = np.where(present(cells), cells, np.nan)
        return cells.astype(np.float64, copy=False)

    def everything(self, reader: Reader, among: Numbers | None = None) -> Iterator[IndexBatch | TraceBatch]:
        """These traces, or all. What takes long, opening and measuring them, is told as it goes on."""
        numbers = np.arange(1, reader.count + 1) if among is None else among
        tier = self.inner.now(reader, numbers)
        ahead = reader.once(Ahead, Ahead)
        if tier is Tier.TRACE:
            return ahead.through(batches(tier, reader, numbers), len(numbers))
        if _unmeasured(self.inner, reader):
            few = (numbers[at : at + _FEW] for at in range(0, len(numbers), _FEW))
            return ahead.through(
                (b for each in few for b in batches(tier, reader, each, self.inner.ragged)), len(numbers)
            )
        if among is None and not self.inner.ragged:
            return reader.batches()
        return batches(tier, reader, numbers, self.inner.ragged)

    @property
    def lasting(self) -> bool:
        """True when nothing but the traces of the capture has a say."""
        from tensorshark.forensics.filter.answers.kept import dependences

        return dependences(self) <= self.depends


class Scored(_Corpus, frozen=True):
    """How many standard deviations a value lies above the mean of all traces, or of those that match."""

    over: Predicate | None = None
    """Whose mean and spread; None: those of all traces."""

    def words(self, quantity: Quantity) -> str:
        among = f" among traces {self.over.words()}" if self.over is not None else ""
        return f"z-score{among} of {self.inner.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        cells = self.numbers(batch)
        reader = _reader(batch)
        if reader is None:
            return np.full(cells.shape, np.nan)
        moments = reader.once(self, lambda: self._moments(reader))
        here = tuple(slice(size) for size in cells.shape[:OF_TRACES])
        wide = tuple(np.maximum(cells.shape[:OF_TRACES], moments.mean.shape))  # `over` may match shorter ones
        mean, std = (_padded(part, wide)[here][..., None] for part in (moments.mean, moments.std))
        with np.errstate(all="ignore"):
            scores = cells - mean
            scores /= np.where(std > 0, std, np.nan)
        return scores

    def _moments(self, reader: Reader) -> Moments:
        if self.lasting:
            return _moments.get(reader, self, lambda: self._summed(reader))
        return self._summed(reader)

    def _summed(self, reader: Reader) -> Moments:
        among = None
        if self.over is not None:
            from tensorshark.forensics.filter.answers.answer import answer

            among = np.flatnonzero(answer(self.over, reader)) + 1
        sums = Sums()
        for batch in self.everything(reader, among):
            sums.add(self.numbers(batch))
        return sums.moments()


class Ranked(_Corpus, frozen=True):
    """The place of a trace's value, which is one, among those of all traces, from 1 for the largest."""

    @property
    def axes(self) -> tuple[str, ...]:
        return ()

    @property
    def bound(self) -> tuple[str, ...]:
        return ()

    @property
    def whole(self) -> bool:
        return True

    def words(self, quantity: Quantity) -> str:
        return f"rank of {self.inner.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        reader = _reader(batch)
        if reader is None:
            return np.full((1, 1, 1, batch.count), np.nan)
        ranks = reader.once(self, lambda: self._ranks(reader))
        where = batch.where if isinstance(batch, IndexBatch) else batch.numbers - 1
        return ranks[where].reshape(1, 1, 1, -1)

    def _ranks(self, reader: Reader) -> Array:
        if self.lasting:
            return _ranks.get(reader, self, lambda: self._ranked(reader))
        return self._ranked(reader)

    def _ranked(self, reader: Reader) -> Array:
        keys = np.full(reader.count, np.nan)
        for batch in self.everything(reader):
            keys[batch.where if isinstance(batch, IndexBatch) else batch.numbers - 1] = _one(
                self.numbers(batch)
            )
        return ranks(keys)


class Sums:
    """Mean and spread of cells, batch by batch, as exact as if all had been there at once.

    Batches are joined as Chan, Golub and LeVeque do (1979, Updating formulae and a pairwise algorithm).
    """

    def __init__(self) -> None:
        self._count = self._mean = self._squares = np.zeros((0, 0, 0))

    def add(self, cells: Array) -> None:
        """Cells (layer, head, pos, trace), float64; more than before are cells behind the end."""
        there = ~np.isnan(cells)
        everywhere = bool(there.all())
        with np.errstate(all="ignore"):
            count = there.sum(axis=-1)
            mean = (cells if everywhere else np.where(there, cells, 0.0)).sum(axis=-1) / count
            apart = cells - mean[..., None]
            if not everywhere:
                apart[~there] = 0.0
            squares = np.einsum("...t,...t->...", apart, apart)
        self._join(count.astype(np.float64), mean, squares)

    def _join(self, count: Array, mean: Array, squares: Array) -> None:
        shape = tuple(np.maximum(count.shape, self._count.shape))
        n, m, s = (_padded(part, shape) for part in (self._count, self._mean, self._squares))
        count, mean, squares = (_padded(part, shape) for part in (count, mean, squares))
        total = n + count
        with np.errstate(all="ignore"):
            share = count / total
            distance = mean - m
            joined = m + distance * share
            spread = s + squares + distance**2 * n * share
        only_new, only_old = n == 0, count == 0
        self._count = total
        self._mean = np.where(only_new, mean, np.where(only_old, m, joined))
        self._squares = np.where(only_new, squares, np.where(only_old, s, spread))

    def moments(self) -> Moments:
        """NaN where there was no value."""
        with np.errstate(all="ignore"):
            there = self._count > 0
            std = np.sqrt(self._squares / self._count)
        return Moments(np.where(there, self._mean, np.nan), np.where(there, std, np.nan))


def ranks(keys: NDArray[np.float64]) -> Array:
    """The rank (trace,) of each key, NaN where it is NaN: one more than how many are larger."""
    there = np.flatnonzero(~np.isnan(keys))
    known = keys[there]
    order = places(known, descending=True)
    arranged = known[order]
    begins = np.ones(len(known), dtype=bool)
    begins[1:] = arranged[1:] != arranged[:-1]
    rank = np.maximum.accumulate(np.where(begins, np.arange(1, len(known) + 1), 0))
    found = np.full(len(keys), np.nan)
    found[there[order]] = rank
    return found


def _reader(batch: Batch) -> Reader | None:
    """None for a trace that is in no index: there are no others to be beside."""
    if isinstance(batch, TraceBatch):
        return None if batch.row is None else batch.row.reader
    assert isinstance(batch, IndexBatch)
    return batch.reader


def _one(cells: Array) -> Array:
    """The one cell of each trace (trace,)."""
    return cells.reshape(-1) if cells.size else np.full(cells.shape[-1], np.nan)


def _padded(part: Array, shape: tuple[int, ...]) -> Array:
    """With zeros behind the end, where nothing was counted."""
    if part.shape == shape:
        return part
    return np.pad(part, [(0, wanted - size) for wanted, size in zip(shape, part.shape, strict=True)])


def _unmeasured(value: Value, reader: Reader) -> bool:
    """True when an analyzer has to look at some of the traces first."""
    if isinstance(value, Measured):
        from tensorshark.forensics.measured.measuring import Measures

        return Measures.of(reader.index).left(value.declared, value.picks) > 0
    return any(_unmeasured(part, reader) for part in value.parts)
