"""How fast this machine reads: measured once per capture and process, in some milliseconds."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from tensorshark.traces.errors import TensorsharkError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

_SAMPLE = 4
"""Traces that are opened to see how long it takes."""
_HASHED = 1 << 20
"""Bytes that are hashed to see how long it takes."""


class Speed(msgspec.Struct, frozen=True):
    """What things take. The defaults were measured on two cores of a small server."""

    trace: float = 0.6e-3
    """Seconds to open a trace and check its manifest."""
    bytes: float = 250e6
    """Bytes of statistics or tensors that are read and checked in a second."""
    row: float = 3e-6
    """Seconds to look at one row of the index: a regular expression, the ids of its tokens."""
    cell: float = 2e-8
    """Seconds for one number of a column, or one row that SQL finds."""
    cells: float = 5e-5
    """Seconds to look at the cells of one opened trace."""


_known: WeakKeyDictionary[Index, Speed] = WeakKeyDictionary()


def known(index: Index) -> Speed:
    """What was measured, or else the defaults: costs nothing."""
    return _known.get(index) or Speed()


def measured(index: Index) -> Speed:
    """Measured now, unless it was before."""
    if index not in _known:
        _known[index] = msgspec.structs.replace(Speed(), trace=_trace(index), bytes=_bytes())
    return _known[index]


def _trace(index: Index) -> float:
    """Seconds per trace; the first warms things up."""
    taken = []
    for number in range(1, min(len(index), _SAMPLE) + 1):
        start = time.perf_counter()
        try:
            _ = index.trace(number).manifest
        except TensorsharkError:
            continue
        taken.append(time.perf_counter() - start)
    return min(taken[1:] or taken, default=Speed().trace)


def _bytes() -> float:
    """Bytes per second that can be checked; reading them is faster."""
    data = bytes(_HASHED)
    start = time.perf_counter()
    hashlib.sha256(data).digest()
    return _HASHED / (time.perf_counter() - start) / 2
