"""Attention rows as distributions: their entropy, and how much of them is the sink.

Most heads rest most of their weight on the first token when they have nothing to do (the attention
sink: Xiao et al. 2023, arXiv 2309.17453; Barbero et al. 2025, arXiv 2504.02732). A row's entropy then
falls with depth because the sink grows, not because the head looks more sharply at anything. So every
entropy here comes with its twin, the entropy of the same row without the first token, and with the
share that was taken out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Summary(NamedTuple):
    """What is kept of each query's row of attention; entropies in nats."""

    entropy: NDArray[np.float32]
    """(..., q_pos) of the whole row."""
    rest: NDArray[np.float32]
    """(..., q_pos) of the row without the first token, renormalised; 0 where nothing is left."""
    sink: NDArray[np.float32]
    """(..., q_pos) share of the row on the first token."""


def entropy(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    """Shannon entropy in nats of distributions over the last axis; 0 ln 0 is 0, and they need not sum to 1.

    H = -Σ p ln p with p = row / Σ row. A row of zeros has entropy 0, a row with NaN has NaN.
    """
    weights = rows.astype(np.float64)
    total = weights.sum(axis=-1, keepdims=True)
    p = np.divide(weights, total, out=np.zeros_like(weights), where=total != 0)
    logp = np.log(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logp).sum(axis=-1) + 0.0)  # + 0.0: no negative zero


def summary(pattern: NDArray[np.generic]) -> Summary:
    """Summarise attention probabilities (..., q_pos, k_pos), e.g. one layer's (head, q_pos, k_pos)."""
    return Summary(
        entropy(pattern).astype(np.float32),
        entropy(pattern[..., 1:]).astype(np.float32),
        pattern[..., 0].astype(np.float32),
    )
