"""Two states, two traces: how far apart, and where they first part.

Cosine, mean absolute error and the Jaccard index of the largest dimensions are defined as in the
Activation Lab harness, so numbers can be compared with its reports.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import UsageError

MAX_CELLS = 64 << 20
"""Cells of the alignment table: two middles of 8,192 tokens each, 128 MB."""
_EPSILON = 1e-8


@dataclass(frozen=True)
class Distance:
    """Distances between paired states; every array is (...), the shape without d_model."""

    cosine: NDArray[np.float64]
    """(a·b) / (‖a‖‖b‖ + 1e-8): 1 is the same direction, 0 also where both are zero."""
    l2: NDArray[np.float64]
    """‖a - b‖, in the units of the residual stream."""
    mae: NDArray[np.float64]
    """Mean over dimensions of |a - b|."""
    jaccard: NDArray[np.float64]
    """Shared part of the largest 1 % of dimensions (at least one) by magnitude: |∩| / |∪|."""
    relative: NDArray[np.float64]
    """‖a - b‖ / max(‖a‖, ‖b‖): 0 where both are zero."""


def distance(a: NDArray[np.generic], b: NDArray[np.generic]) -> Distance:
    """Compare states a and b (..., d_model) pairwise, in float64. NaN gives NaN, except in Jaccard."""
    if a.shape != b.shape:
        raise UsageError(f"states of shapes {a.shape} and {b.shape} cannot be compared")
    x, y = a.astype(np.float64), b.astype(np.float64)
    gap = x - y
    length_x, length_y, l2 = (np.linalg.norm(v, axis=-1) for v in (x, y, gap))
    longest = np.maximum(length_x, length_y)
    return Distance(
        cosine=np.einsum("...d,...d->...", x, y) / (length_x * length_y + _EPSILON),
        l2=l2,
        mae=np.abs(gap).mean(axis=-1),
        jaccard=jaccard(x, y),
        relative=np.divide(l2, longest, out=np.zeros_like(l2), where=longest != 0),
    )


def largest(states: NDArray[np.generic], share: int = 100) -> NDArray[np.bool_]:
    """Which dimensions (..., d_model) are among the largest max(1, d_model // share) by magnitude."""
    width = states.shape[-1]
    k = max(1, width // share)
    chosen = np.argpartition(-np.abs(states), k - 1, axis=-1)[..., :k]
    mask = np.zeros(states.shape, dtype=np.bool_)
    np.put_along_axis(mask, chosen, True, axis=-1)
    return mask


def jaccard(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.float64]:
    """|∩| / |∪| (...) of the largest 1 % of dimensions of states a and b (..., d_model)."""
    in_a, in_b = largest(a), largest(b)
    return np.asarray((in_a & in_b).sum(axis=-1) / (in_a | in_b).sum(axis=-1))


def align(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Pairs of positions of a longest common subsequence of two token sequences, ascending in both.

    Raises UsageError when what is left between the common beginning and end is too long for the table.
    """
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle = _middle(a[start : len(a) - end], b[start : len(b) - end])
    return [
        *((i, i) for i in range(start)),
        *((start + i, start + j) for i, j in middle),
        *((len(a) - i, len(b) - i) for i in range(end, 0, -1)),
    ]


def _middle(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    if (len(a) + 1) * (len(b) + 1) > MAX_CELLS:
        raise UsageError(f"{len(a):,} and {len(b):,} differing tokens are too many to align")
    names: dict[Hashable, int] = {}
    left, right = (
        np.array([names.setdefault(t, len(names)) for t in tokens], dtype=np.int64) for tokens in (a, b)
    )
    # length[i, j]: the longest common subsequence of a[i:] and b[j:]. A row is the best of "skip a[i]"
    # and "match here", carried on along the row: a running maximum, so numpy does each row at once.
    length = np.zeros((len(a) + 1, len(b) + 1), dtype=np.uint16)
    for i in range(len(a) - 1, -1, -1):
        matched = length[i + 1, 1:] + (right == left[i])
        row = np.maximum(length[i + 1, :-1], matched)
        length[i, :-1] = np.maximum.accumulate(row[::-1])[::-1]
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if left[i] == right[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1, j] >= length[i, j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def first_apart(relative: NDArray[np.floating], tolerance: float) -> tuple[int, int] | None:
    """The first (pos, step) at which `relative` (pos, step) exceeds the tolerance, or is not a number.

    Positions outer, as text is read; steps (layer and site in the order in which they happen) inner.
    None when the two are everywhere within the tolerance.
    """
    apart = ~(relative <= tolerance)
    if not apart.any():
        return None
    position, step = divmod(int(apart.argmax()), relative.shape[1])
    return position, step
