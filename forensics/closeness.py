"""How close two vectors are: what `similar`, and `cos` and `dist` of a filter, agree on to the last bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.products import dots, gaps

__all__ = ["cosine", "distance", "dots"]

Array = NDArray[np.generic]
_SMALLEST = float(np.finfo(np.float64).tiny)


def cosine(a: Array, b: Array, squares: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Cosine of the angle between vectors (..., d_model), in float64 from -1 to 1.

    A vector and itself have exactly 1. NaN with a zero vector, and where a number is not finite. `squares`
    is `dots(a, a)`, where it is known.
    """
    along, bb = dots(a, b), dots(b, b)
    aa = dots(a, a) if squares is None else squares
    with np.errstate(all="ignore"):
        both = aa * bb  # the root of a square is exact
        apart = np.sqrt(aa) * np.sqrt(bb)
        lengths = np.where((both >= _SMALLEST) & np.isfinite(both), np.sqrt(both), apart)
        cosines = np.clip(along / lengths, -1.0, 1.0)
    return np.where(lengths > 0, cosines, np.nan)


def distance(a: Array, b: Array) -> NDArray[np.float64]:
    """L2 norm of the difference of vectors (..., d_model), in float64."""
    return np.sqrt(gaps(a, b))
