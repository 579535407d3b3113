"""Lengths of residual-stream states, and how they grow with depth.

Captures hold the norms of every site (`norm.<site>`, taken in the compute dtype), so nothing here reads
a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Growth:
    """How a norm changes from the first captured layer to the last."""

    first: float
    last: float
    ratio: float
    """last / first; NaN where the first is 0."""
    rising: int
    """Steps between neighbouring layers in which the norm rises."""
    steps: int
    """Steps there are: captured layers less one."""


def l2(states: NDArray[np.generic]) -> NDArray[np.float64]:
    """L2 norm over the last axis: (..., d_model) -> (...), summed in float64."""
    return np.asarray(np.linalg.norm(states.astype(np.float64), axis=-1))


def growth(norms: NDArray[np.floating]) -> Growth:
    """Growth of one position's norms (layer,). The stream rarely rises at every step: `rising` says."""
    assert norms.ndim == 1 and norms.size  # layer
    first, last = float(norms[0]), float(norms[-1])
    steps = np.diff(norms)
    return Growth(first, last, last / first if first else float("nan"), int((steps > 0).sum()), len(steps))
