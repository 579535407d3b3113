"""Numbers as a row, or a few rows, of block characters: a curve beside the words that name its ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Eighths of a cell, empty to full."""
ABSENT = "·"
"""Stands for a value that is NaN or not there, so that a gap is seen and not taken for a low value."""


def spark(
    values: Sequence[float | None], width: int, lo: float | None = None, hi: float | None = None
) -> str:
    """`width` characters, ▁ for `lo` (else the smallest value) to █ for `hi` (else the largest).

    More values than characters: each character is the mean of its share. Fewer: each value is repeated, so
    that curves of models with different depths line up. Equal values are all ▄; no values are blanks.
    """
    shares = resample(values, width)
    known = [share for share in shares if share is not None and math.isfinite(share)]
    low = min(known, default=0.0) if lo is None else lo
    high = max(known, default=0.0) if hi is None else hi
    return "".join(_block(share, low, high) for share in shares).ljust(width)


def bars(values: Sequence[float | None], width: int, height: int, hi: float | None = None) -> list[str]:
    """`height` rows of `width` characters, top first: bars from zero to `hi` (else the largest value)."""
    shares = resample(values, width)
    known = [share for share in shares if share is not None and math.isfinite(share)]
    top = max(known, default=0.0) if hi is None else hi
    columns = [_column(share, top, height) for share in shares]
    return ["".join(column[row] for column in columns).ljust(width) for row in range(height)]


def meter(share: float, width: int) -> str:
    """A thin bar to the right that fills `share` (0 to 1) of `width` characters, in halves of one."""
    if math.isnan(share):
        return ABSENT.ljust(width)
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width)


def resample(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` numbers that stand for `values` in order; NaN and None are left out of the means."""
    count = len(values)
    if not count or width <= 0:
        return []
    if count <= width:
        return [_clean(values[column * count // width]) for column in range(width)]
    edges = [column * count // width for column in range(width + 1)]
    return [_mean(values[start:stop]) for start, stop in pairwise(edges)]


def _clean(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _block(value: float | None, low: float, high: float) -> str:
    if value is None:
        return ABSENT
    if math.isinf(value):
        return BLOCKS[8] if value > 0 else BLOCKS[1]
    if high <= low:
        return BLOCKS[4]
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return BLOCKS[1 + round(share * 7)]


def _column(value: float | None, top: float, height: int) -> str:
    """One bar, top first. A value that is there fills at least an eighth, so that it is seen."""
    if value is None:
        return ABSENT.rjust(height)
    if math.isinf(value) or top <= 0:
        full = 8 * height if value > 0 else 1
    else:
        full = min(8 * height, max(1, round(8 * height * value / top)))
    return "".join(BLOCKS[min(8, max(0, full - 8 * row))] for row in range(height - 1, -1, -1))
