"""Groups of traces, and what the numbers in each look like.

Pure arrays: a number per trace (trace,), NaN where it has none, and the group that each trace is in. A
million traces take some milliseconds: it is found once where each group's traces stand, and every number is
then looked at group by group.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import UsageError

Floats = NDArray[np.float64]
Codes = NDArray[np.signedinteger[Any]]
Key = str | float | int | bool | None
"""What the traces of a group share; None: they have no value."""

MAX_GROUPS = 1000
_FEW = 16
"""Groups up to which it is faster to look for each among all traces than to sort these by their groups."""
NONE = "(none)"
"""How people are shown the group of the traces without a value."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One expression over one group. What cannot be said of the values there are is None."""

    group: list[Key]
    """One value per `by`; empty where nothing was grouped by."""
    expression: str
    traces: int
    """In the group."""
    values: int
    """Of them with a value, which is what all else is about."""
    mean: float | None
    std: float | None
    """Of a sample: the divisor is n - 1."""
    min: float | None
    quantiles: list[float | None]
    """Interpolated linearly between the two nearest values, as numpy does."""
    max: float | None


class Groups:
    """Which trace is in which group; groups are numbered from 0 in the order of their keys, none last."""

    def __init__(self, keys: Sequence[list[Key]], codes: Codes) -> None:
        self.keys = list(keys)
        """One list per group."""
        self.codes = codes
        """Group of each trace (trace,)."""
        self.sizes = _counts(codes, len(self.keys))
        """Traces in each group (group,)."""

    @classmethod
    def one(cls, count: int) -> Groups:
        """All traces in one group."""
        return cls([[]], np.zeros(count, np.int32))

    @classmethod
    def of(cls, columns: Sequence[tuple[Codes, Sequence[Key]]]) -> Groups:
        """The cross product of columns, each codes (trace,), -1 for none, and what they stand for, ascending.

        Only groups with a trace are kept. Raises UsageError for more than MAX_GROUPS.
        """
        combined: NDArray[Any] = columns[0][0]
        keys: list[list[Key]] = [[]]
        for place, (codes, values) in enumerate(columns):
            width = len(values) + 1
            named: list[Key] = [*values, None]
            own = np.where(codes < 0, np.int64(width - 1), codes) if codes.min(initial=0) < 0 else codes
            if place:
                own = combined.astype(np.int64) * width + own
            combined, found = _dense(own, len(keys) * width)
            if len(found) > MAX_GROUPS:
                remedy = "group by fewer or coarser things, make numbers --bins, or filter with -Y"
                raise UsageError(f"more than {MAX_GROUPS:,} groups; {remedy}")
            keys = [[*keys[at // width], named[at % width]] for at in found.tolist()]
        return cls(keys, combined)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def places(self) -> list[NDArray[np.int64]]:
        """Of each group where its traces stand, ascending."""
        if len(self) <= _FEW:
            return [np.flatnonzero(self.codes == group) for group in range(len(self))]
        order = np.argsort(self.codes.astype(np.uint16), kind="stable")  # 16 bits: a radix sort
        return np.split(order, np.cumsum(self.sizes)[:-1])

    def parts(self, numbers: Floats) -> list[Floats]:
        """The numbers of each group that are there, unsorted."""
        cut = [numbers]
        if len(self) > 1:
            arranged = np.empty_like(numbers)  # one large piece of memory: faster than several
            cut = np.split(arranged, np.cumsum(self.sizes)[:-1])
            for part, places in zip(cut, self.places, strict=True):
                numbers.take(places, out=part, mode="clip")  # checks nothing, so it needs no buffer
        if not np.isnan(numbers).any():
            return cut
        return [part[~np.isnan(part)] for part in cut]


def _counts(codes: Codes, most: int) -> NDArray[np.int64]:
    """Traces of each code below `most` (code,)."""
    if most <= _FEW:
        return np.array([np.count_nonzero(codes == code) for code in range(most)], np.int64)
    return np.bincount(codes, minlength=most)


def _dense(codes: NDArray[Any], most: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Codes (trace,) below `most` renumbered from 0 without gaps, and the old codes (new code,)."""
    if most > 4 * len(codes) + 65536:
        found, dense = np.unique(codes, return_inverse=True)
        return dense, found
    there = _counts(codes, most) > 0
    found = np.flatnonzero(there)
    return (codes if there[: len(found)].all() else (np.cumsum(there) - 1)[codes]), found


def distinct(numbers: Floats) -> tuple[Codes, list[Key]]:
    """Codes (trace,) and the different numbers themselves, ascending; -1 for NaN."""
    there = ~np.isnan(numbers)
    found, inverse = np.unique(numbers[there], return_inverse=True)
    codes = np.full(len(numbers), -1, np.int32)
    codes[there] = inverse
    return codes, [int(value) if value.is_integer() else value for value in found.tolist()]


def binned(numbers: Floats, bins: int) -> tuple[Codes, list[Key]]:
    """Codes (trace,) of bins with about as many numbers each, and the range of each; -1 for NaN.

    The edges are the k/bins quantiles; a bin holds its lower edge and not its upper, the last holds both.
    Equal numbers share a bin, so that with many of them there are fewer bins.
    """
    there = ~np.isnan(numbers)
    codes = np.full(len(numbers), -1, np.int32)
    if not there.any():
        return codes, []
    known = np.sort(numbers[there])
    places = np.arange(bins + 1) * (len(known) - 1) // bins
    edges = np.unique(known[places])  # of the numbers themselves: infinite ones have no point in between
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    codes[there] = np.clip(np.searchsorted(edges, numbers[there], side="right") - 1, 0, len(edges) - 2)
    ends = [f"{edge:.6g}" for edge in edges.tolist()]
    if len(set(ends)) < len(np.unique(edges)):
        ends = [repr(edge) for edge in edges.tolist()]
    last = len(ends) - 2
    names: list[Key] = [f"[{ends[at]}, {ends[at + 1]}{']' if at == last else ')'}" for at in range(last + 1)]
    return codes, names


def summaries(
    expression: str,
    groups: Groups,
    parts: Sequence[Floats],
    quantiles: Sequence[float],
    ordered: bool = False,
) -> list[Summary]:
    """One line per group, of its numbers; `ordered` says that each part is sorted already."""
    return [
        _summary(expression, key, int(size), part, quantiles, ordered)
        for key, size, part in zip(groups.keys, groups.sizes, parts, strict=True)
    ]


def _summary(
    expression: str, key: list[Key], traces: int, part: Floats, quantiles: Sequence[float], ordered: bool
) -> Summary:
    count = len(part)
    with np.errstate(invalid="ignore"):  # of infinite values the mean may be said, and no spread
        mean = finite(part.mean()) if count else None
        std = finite(part.std(ddof=1)) if count > 1 else None
    return Summary(
        group=key,
        expression=expression,
        traces=traces,
        values=count,
        mean=mean,
        std=std,
        min=float(part[0] if ordered else part.min()) if count else None,
        quantiles=_quantiles(part, quantiles, ordered) if count else [None] * len(quantiles),
        max=float(part[-1] if ordered else part.max()) if count else None,
    )


def _quantiles(part: Floats, quantiles: Sequence[float], ordered: bool) -> list[float | None]:
    """numpy's linear method, of the two places that each needs."""
    if not quantiles:
        return []
    exact = np.asarray(quantiles, np.float64) * (len(part) - 1)
    below = np.floor(exact).astype(np.int64)
    above = np.minimum(below + 1, len(part) - 1)
    around = part if ordered else np.partition(part, np.unique(np.concatenate([below, above])))
    low, high, share = around[below], around[above], exact - below
    with np.errstate(invalid="ignore"):
        between = np.where((share == 0) | (low == high), low, low + (high - low) * share)
    return [finite(value) for value in between]


def finite(value: Any) -> float | None:
    """A Python float; None for NaN. Infinity is a value."""
    return None if np.isnan(value) else float(value)
