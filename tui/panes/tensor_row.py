"""One row of a tensor, summed up: what is finite, what is largest, what is massive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorshark.traces.trace import Trace

MASSIVE = 100.0
"""A massive activation is larger than this ..."""
TIMES_MEDIAN = 1000.0
"""... and than this many times the tensor's median magnitude (Sun et al. 2024, arXiv 2402.17762)."""


@dataclass(frozen=True)
class Numbers:
    """What there is to say about one row of a tensor."""

    row: npt.NDArray[np.float64]
    """(d_model,), or (k_pos,) of an attention pattern."""
    finite: npt.NDArray[np.float64]
    """Those that are finite."""
    order: npt.NDArray[np.intp]
    """Dimensions by magnitude, largest first, NaN left out."""
    massive: frozenset[int]
    """Dimensions of massive activations."""

    @classmethod
    def of(cls, row: npt.NDArray[np.generic], median: float) -> Numbers:
        """From a row in its stored type, and the median magnitude of the whole tensor."""
        x = row.astype(np.float64)
        size = np.abs(x)
        order = np.argsort(-np.nan_to_num(size, nan=-1.0, posinf=np.inf), kind="stable")
        order = order[: int((~np.isnan(x)).sum())]
        large = np.flatnonzero(np.isfinite(x) & (size > MASSIVE) & (size > TIMES_MEDIAN * median))
        return cls(x, x[np.isfinite(x)], order, frozenset(large.tolist()))


def read(trace: Trace, name: str) -> tuple[npt.NDArray[Any], float]:
    """A tensor and the median of its magnitudes."""
    array = trace.load(name)
    size = np.abs(array.astype(np.float32))
    finite = size[np.isfinite(size)]
    return array, float(np.median(finite)) if finite.size else 0.0


def usual(finite: npt.NDArray[np.float64]) -> float:
    """The magnitude that all but one in a hundred values stay below."""
    return float(np.quantile(np.abs(finite), 0.99)) if finite.size else 0.0
