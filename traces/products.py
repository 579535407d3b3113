"""Sums of products that come out the same, to the last bit, whatever they are computed beside."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
_AT_ONCE = 1 << 17
"""Products that are summed together: few enough to stay in the processor."""


def dots(a: Array, b: Array) -> NDArray[np.float64]:
    """Sums of products along the last axis (..., width) -> (...), in float64.

    Each is summed in the same order whatever stands beside it, so equal vectors give equal bits.
    """
    return _sums(a, b, np.multiply, squared=False)


def gaps(a: Array, b: Array) -> NDArray[np.float64]:
    """Sums of squared differences along the last axis (..., width) -> (...), likewise."""
    return _sums(a, b, np.subtract, squared=True)


def _sums(a: Array, b: Array, make: np.ufunc, squared: bool) -> NDArray[np.float64]:
    shape, same = np.broadcast_shapes(a.shape, b.shape), a is b
    if math.prod(b.shape) < math.prod(shape):  # one vector for many is converted once
        b = b.astype(np.float64)
    a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    axis = int(np.argmax(shape[:-1])) if len(shape) > 1 else 0
    step = max(1, _AT_ONCE * shape[axis] // max(1, math.prod(shape))) if len(shape) > 1 else shape[0]
    out = np.empty(shape[:-1])
    made = np.empty((*shape[:axis], min(step, shape[axis]), *shape[axis + 1 :]))
    with np.errstate(all="ignore"):
        for start in range(0, shape[axis], max(1, step)):
            part = (slice(None),) * axis + (slice(start, start + step),)
            some = made[(slice(None),) * axis + (slice(0, min(step, shape[axis] - start)),)]
            some[:] = a[part]
            make(some, some if same else b[part], out=some)
            if squared:
                np.multiply(some, some, out=some)
            out[part[: len(shape) - 1]] = some.sum(axis=-1)
    return out
